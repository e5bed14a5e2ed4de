from __future__ import annotations

import re

import pytest
from gcp_emulator.workloads.build.dockerfile import DockerfileError, expand, parse, split_words


def test_stages_have_names_numbers_and_instructions() -> None:
    parsed = parse(b"ARG V=3.13\nFROM python:$V AS Build\nRUN true\nFROM scratch\nCOPY --from=build /a /b\n")

    assert [(stage.index, stage.name, stage.base) for stage in parsed.stages] == [
        (0, "build", "python:$V"),
        (1, "1", "scratch"),
    ]
    assert parsed.arguments[0].pairs == (("V", "3.13"),)
    assert parsed.stages[1].instructions[0].flag("from") == "build"
    assert parsed.stage("BUILD") is parsed.stages[0]
    assert parsed.stage("1") is parsed.stages[1]


def test_continuations_skip_comments_and_empty_lines() -> None:
    parsed = parse(b"FROM scratch\n# note\nRUN one && \\\n  # inside\n\n  two\nUSER app\n")

    run, user = parsed.stages[0].instructions
    assert (run.line, run.words, run.exec_form) == (3, ("one &&   two",), False)
    assert (user.line, user.words) == (7, ("app",))


def test_the_escape_directive_changes_the_continuation() -> None:
    parsed = parse(b"# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch\nRUN a `\n b\\\n")

    assert parsed.stages[0].instructions[0].words == ("a  b\\",)


def test_exec_form_is_a_json_array_and_anything_else_is_for_the_shell() -> None:
    parsed = parse(b'FROM scratch\nCMD ["a", "b c"]\nENTRYPOINT [a, b]\nSHELL ["/bin/bash", "-c"]\n')

    cmd, entrypoint, shell = parsed.stages[0].instructions
    assert (cmd.words, cmd.exec_form) == (("a", "b c"), True)
    assert (entrypoint.words, entrypoint.exec_form) == (("[a, b]",), False)
    assert shell.words == ("/bin/bash", "-c")


def test_settings_take_quotes_and_the_old_form() -> None:
    parsed = parse(b'FROM scratch\nENV A="x y" B=z\\ w\nENV OLD the rest = all\nLABEL k=v\nARG P Q=1\n')

    assert [instruction.pairs for instruction in parsed.stages[0].instructions] == [
        (("A", '"x y"'), ("B", "z\\ w")),
        (("OLD", "the rest = all"),),
        (("k", "v"),),
        (("P", None), ("Q", "1")),
    ]


def test_run_mounts_are_kept_in_order() -> None:
    parsed = parse(b"FROM scratch\nRUN --mount=type=cache,target=/c --mount=type=bind,target=/s pip x\n")

    run = parsed.stages[0].instructions[0]
    assert run.flags["mount"] == ("type=cache,target=/c", "type=bind,target=/s")
    assert run.words == ("pip x",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file with no instructions"),
        (b"ARG A\n", "no build stage in current context"),
        (b"RUN x\n", "dockerfile parse error on line 1: no build stage in current context"),
        (
            b"FROM a\n\nRUNN x\n",
            "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)",
        ),
        (b"FROM a b\n", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
        (
            b"FROM a\nCOPY x\n",
            (
                "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided."
                " Destination could not be determined"
            ),
        ),
        (b"FROM a\nRUN\n", "dockerfile parse error on line 2: RUN requires at least one argument"),
        (b"FROM a\nCOPY --form=b x y\n", "dockerfile parse error on line 2: unknown flag: --form"),
        (b"FROM a\nWORKDIR a b\n", "dockerfile parse error on line 2: WORKDIR requires exactly one argument"),
        (
            b"FROM a\nENV A=1 B\n",
            'dockerfile parse error on line 2: Syntax error - can\'t find = in "B". Must be of the form: name=value',
        ),
        (b"FROM a\nENV A\n", "dockerfile parse error on line 2: ENV must have two arguments"),
        (
            b"FROM a\nRUN <<EOF\n",
            "dockerfile parse error on line 2: here documents (RUN <<EOF) are not supported by this builder. Containers build it:"
            + " gcp-emulator start --runtime docker (a rehearsal: make rehearse-clean, then REHEARSAL_RUNTIME=docker make rehearse)",
        ),
        (
            b"FROM a\nSHELL /bin/sh\n",
            "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form",
        ),
        (
            "FROM a\nLABEL a=\u00e9\n".encode("latin-1"),
            "dockerfile parse error on line 2: the Dockerfile is not UTF-8 text (byte 0xe9)",
        ),
        (
            b"FROM a AS 1x\n",
            (
                'dockerfile parse error on line 1: invalid name for build stage: "1x", name can\'t start with a number'
                " or contain symbols"
            ),
        ),
    ],
)
def test_errors_name_the_line_in_dockers_words(content: bytes, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(content)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A", "one"),
        ("${A}x", "onex"),
        ("$Ax", ""),
        ("${NO:-b}", "b"),
        ("${EMPTY:-b}", "b"),
        ("${EMPTY-b}", ""),
        ("${A:+yes}${NO:+no}", "yes"),
        ("${NO:-${A}}", "one"),
        ("'$A'", "$A"),
        ('"$A b"', "one b"),
        ("\\$A", "$A"),
        ('"a\\nb"', "a\\nb"),
        ("a\\ b", "a b"),
        ("cost$", "cost$"),
    ],
)
def test_variables_are_substituted_as_docker_does(word: str, value: str) -> None:
    assert expand(word, {"A": "one", "EMPTY": ""}) == value


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("${NO:?set it}", "NO: set it"),
        ("${A", "unsupported modifier () in substitution of A"),
        ("${A:-x", 'syntax error: missing } in "${A:-x"'),
        ('"a', 'unexpected end of statement while looking for matching " in "\\"a"'),
        ("${A%%x}", "unsupported modifier (%) in substitution of A"),
    ],
)
def test_substitutions_that_cannot_be_made_say_why(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        expand(word, {"A": "one"})


def test_words_are_split_outside_quotes() -> None:
    assert split_words("a 'b c'  \"d e\" f\\ g") == ["a", "'b c'", '"d e"', "f\\ g"]
