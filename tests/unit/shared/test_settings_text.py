"""One reader of settings files: what is written is read, and what cannot be read is named with its line."""

import pytest

from shared.settings_text import UnreadableText, assignment, decoded, merged, parsed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PHOENIX_MODE=demo", "demo"),
        ("phoenix_mode=demo", "demo"),
        ("Phoenix_Mode = demo", "demo"),
        ("  export PHOENIX_MODE=demo", "demo"),
        ("PHOENIX_MODE='demo'", "demo"),
        ('PHOENIX_MODE="demo" # mine', "demo"),
        ("PHOENIX_MODE=demo # mine", "demo"),
        ("PHOENIX_MODE=demo\r\n", "demo"),
        ("PHOENIX_MODE=a#b", "a#b"),
        ("PHOENIX_MODE=${HOME}", "${HOME}"),
        ("PHOENIX_MODE=", ""),
        ('PHOENIX_MODE="a\nb"', "a\nb"),
        ("PHOENIX_MODE=first\nPHOENIX_MODE=second", "second"),
        ("PHOENIX_MODE=first\nphoenix_mode=second", "second"),
    ],
)
def test_every_way_to_write_a_setting_is_read_alike(text: str, value: str) -> None:
    assert parsed(text).values == {"PHOENIX_MODE": value}
    assert not [fault for fault in parsed(text).faults if fault.is_serious]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("PHOENIX_RISK_PROFILE: balanced", "this is YAML"),
        ("- PHOENIX_RISK_PROFILE=balanced", "no KEY=value"),
        ("set PHOENIX_RISK_PROFILE=balanced", "a command of a shell"),
        ('$env:PHOENIX_RISK_PROFILE = "balanced"', "a command of a shell"),
        ("; PHOENIX_RISK_PROFILE=balanced", "this is no comment"),
        ("PHOENIX RISK PROFILE=balanced", "no KEY=value"),
        ("PHOENIX_RISK_PROFILE balanced", "no KEY=value"),
        ("PHOENIX_RISK_PROFILE", "no = after the name"),
        ("PHOENIX_RISK-PROFILE=balanced", "other characters than letters"),
        ("PHOENIX_RISK_PROFILE='balanced", "not closed"),
        ("PHOENIX_RISK_PROFILE='it's'", "follows the closing quotation mark"),
        ("PHOENIX_RISK_PROFILE=“balanced”", "curly"),
    ],
)
def test_what_cannot_be_read_is_a_fault_with_its_line_and_a_remedy(line: str, said: str) -> None:
    [fault] = parsed(f"# mine\n\n\n{line}\n").faults
    assert said in fault.said
    assert fault.line == 4
    assert fault.do
    assert fault.is_serious
    assert "balanced" not in fault.said + fault.do, "it may be a secret"


@pytest.mark.parametrize("line", ["[section]", "; a note", "services:", "just words"])
def test_lines_that_name_no_setting_of_ours_stop_nobody(line: str) -> None:
    found = parsed(f"{line}\nPHOENIX_MODE=demo\n")
    assert found.values == {"PHOENIX_MODE": "demo"}
    assert [fault.is_serious for fault in found.faults] == [False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PHOENIX_MODE=a\nPHOENIX_MODE=b\n", "PHOENIX_MODE is set on line 1 too"),
        ("PHOENIX_MODE=a\nphoenix_mode=b\n", "PHOENIX_MODE is set on line 1 too"),
        ("\nPHOENIX_API_KEY=${KEY}\n", "PHOENIX_API_KEY names a variable"),
    ],
)
def test_what_is_read_and_worth_a_look_is_said_with_its_line(text: str, said: str) -> None:
    [fault] = parsed(text).faults
    assert (fault.line, fault.said, fault.is_serious) == (2, said, False)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp949"])
def test_another_encoding_is_refused_with_its_line_and_what_to_do(encoding: str) -> None:
    data = "PHOENIX_MODE=demo\n# 한글\n".encode(encoding)
    with pytest.raises(UnreadableText, match=r"line [12]: .*UTF-(16|8).*Save the file as UTF-8"):
        decoded(data)


def test_the_mark_of_windows_editors_is_no_part_of_the_first_name() -> None:
    assert parsed(decoded("PHOENIX_MODE=demo".encode("utf-8-sig"))).values == {"PHOENIX_MODE": "demo"}


@pytest.mark.parametrize(
    "value", ["", "a b", "it's", 'say "x"', "a # b", "\\", "\\'", "a\nb", "한글", "$x", "`"]
)
def test_a_written_value_is_read_back_as_it_was(value: str) -> None:
    assert parsed(assignment("PHOENIX_X", value) + "\nPHOENIX_Y=1\n").values == {
        "PHOENIX_X": value,
        "PHOENIX_Y": "1",
    }


def test_a_changed_line_is_replaced_where_it_is_placed_and_comments_stay() -> None:
    text = "# mine\nphoenix_a=1\n\nexport PHOENIX_B=2 # note\nPHOENIX_C='3\n3'"
    wanted = {"PHOENIX_A": "1", "PHOENIX_B": "x y", "PHOENIX_C": "3\n3", "PHOENIX_D": "4"}
    assert merged(text, wanted.items()) == (
        "# mine\nphoenix_a=1\nPHOENIX_B='x y'\nPHOENIX_C='3\n3'\nPHOENIX_D=4\n"
    )
