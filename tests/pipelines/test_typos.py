import pytest

from pipelines.typos import one_line, wrong_key

CLASS_OPTION = """Parser key "trainer.callbacks":
  Does not validate against any of the Union subtypes
  Errors:
    - Problem with given class_path 'pytorch_lightning.callbacks.EarlyStopping':
        Option 'monitr' is not accepted
    - Expected a <class 'NoneType'>
  Given value type: <class 'list'>
  Given value: []"""


def test_a_wrong_option_of_a_class():
    assert one_line(CLASS_OPTION) == "trainer.callbacks: EarlyStopping has no option 'monitr'; did you mean 'monitor'?"


def test_nothing_near_lists_what_there_is():
    said = one_line(CLASS_OPTION.replace("monitr", "zzz"))
    assert said.startswith("trainer.callbacks: EarlyStopping has no option 'zzz'; it may be check_finite, check_on_")


def test_a_number_where_a_limit_belongs():
    wrong = '    Parser key "limits":\n          Not a valid subclass of Limit. Got value: 0.1'
    said = one_line(CLASS_OPTION.replace("    Option 'monitr' is not accepted", wrong))
    wanted = "limits of EarlyStopping: 0.1 is no Limit; give it at_most, at_least, warn_within"
    assert said == f"trainer.callbacks: {wanted}"


def test_the_innermost_value_is_the_one_shown():
    inner = "    Expected a <class 'float'>\n        - Expected a <class 'NoneType'>\n      Given value: high"
    said = one_line(CLASS_OPTION.replace("    Option 'monitr' is not accepted", inner))
    assert said == "trainer.callbacks: expected float or null, not high"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Subcommand 'fit' does not accept option 'trainer.max_epoch'", "did you mean 'trainer.max_epochs'?"),
        ("unrecognized arguments: --modle.class_path=x", "did you mean 'model.class_path'?"),
        ("Expected a dot import path string: EarlyStoping\n", "did you mean 'EarlyStopping'?"),
        ("Expected a path but conf/none.yaml either not accessible", "there is no file conf/none.yaml"),
        ("module 'pipelines.models' has no attribute 'TabularNt'", "did you mean 'TabularNet'?"),
        (
            "Parser key \"when\": Expected a typing.Literal['new data', 'drift']. Got value: weekly",
            "when: expected 'new data', 'drift', not weekly",
        ),
        (
            "Parser key \"n\":\n - Expected a typing.Literal['all']\n - Expected a <class 'int'>\nGiven value: x",
            "n: expected 'all' or int, not x",
        ),
        ("Expected a <class 'int'>\nExpected a <class 'NoneType'>\nGiven value: many", "int or null, not many"),
    ],
)
def test_each_form_is_one_line_with_its_remedy(message, said):
    assert said in one_line(message)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("unrecognized arguments: --fource true", "there is no key 'fource'; did you mean 'force'?"),
        ("Option 'fource' is not accepted", "there is no key 'fource'; did you mean 'force'?"),
        ("Group 'look' does not accept option 'alfa'", "there is no key 'look.alfa'; did you mean 'look.alpha'?"),
        ("Expected a path but none.yaml either not accessible", None),
    ],
)
def test_a_wrong_key_is_held_against_the_keys_of_its_own_command(message, said):
    assert wrong_key(message, ["force", "look.alpha", "when"]) == said


def test_a_message_of_another_form_is_folded_and_short():
    assert one_line("quite\n  another:\n thing") == "quite another: thing"
    assert len(one_line("x" * 10_000)) == 300
