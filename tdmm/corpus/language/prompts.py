"""Prompts: a program in the words of somebody who asks for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from tdmm.corpus.language.clauses import (
    Voice,
    adjective_of,
    along,
    clause,
    noun_of,
    step_clause,
    words,
)
from tdmm.corpus.language.phrases import HE, SHE, THEY, YOU, I, Pronouns, fill
from tdmm.corpus.program import Event, Program

STYLES = ("command", "sentence", "scene", "paper", "request", "keywords")
_PRONOUNS = {"she": SHE, "he": HE, "they": THEY}
_ONE = Pronouns("Someone", "they", "them", "their", "themself")


def command(program: Program, random: np.random.Generator, held_out: bool = False) -> str:
    """A terse one: `smiles then nods twice`, `smile, then nod`, `smiling and then nodding`."""
    pronouns = (THEY, SHE, HE, YOU)[int(random.integers(4))]
    form = ("third", "base", "gerund")[int(random.choice(3, p=(0.45, 0.35, 0.2)))]
    voice = Voice(random, pronouns if form != "base" else YOU, held_out)
    if form == "third" and pronouns.plural:
        voice.pronouns = (SHE, HE)[int(random.integers(2))]
    return tidy(_narrated(program, form, voice, "short"))


def sentence(program: Program, random: np.random.Generator, held_out: bool = False) -> str:
    """A whole sentence with a subject: `The woman smiles, then she nods twice.`"""
    gender, pronouns = _gender(random)
    voice = Voice(random, pronouns, held_out)
    if voice.chance(0.12):
        voice.pronouns = I if voice.chance(0.5) else YOU
        return whole_sentence(sentence_about(program, voice.pronouns.subject, voice))
    return whole_sentence(sentence_about(program, voice.pick(words()["subjects"][gender]), voice))


def paper(program: Program, random: np.random.Generator, *, head_still: bool, held_out: bool = False) -> str:
    """As the prompts of the paper TDMM-LM: `The person is speaking with slight happiness on his face, keeping the head
    almost still.`"""
    gender, pronouns = _gender(random)
    subject = {"she": "A woman", "he": "A man", "they": "The person"}[gender]
    voice = Voice(random, HE if gender == "he" else SHE if gender == "she" else THEY, held_out)
    emotion, speech, others = parts_of_base(program)
    doing = [clause(event, "gerund", voice) for event in speech]
    doing += [step_clause(step, "gerund", voice) for step in program.steps]
    subject += " is " if gender != "they" or voice.chance(0.5) else " keeps "
    if subject.endswith(" keeps ") and not doing:
        subject = "The person is "
    said = ", then ".join(doing) if doing else "facing the camera"
    if len(speech) and len(doing) > 1:
        said = f"{doing[0]}, " + ", then ".join(doing[1:])
    if emotion is not None and emotion.id != "neutral":
        said += f" with {noun_of(emotion, voice)} on {pronouns.their if gender != 'they' else 'the'} face"
    elif emotion is not None:
        said += " with a neutral expression"
    said += "".join(along(event, voice) for event in others)
    if head_still:
        said += voice.pick(
            (
                ", keeping the head almost still",
                ", the head hardly moving",
                ", head steady",
                ", without moving the head much",
            )
        )
    return whole_sentence(subject + said)


def request(program: Program, random: np.random.Generator, held_out: bool = False) -> str:
    """Somebody asks for it: `can you smile and then nod?`"""
    _, pronouns = _gender(random)
    voice = Voice(random, pronouns, held_out)
    frame = voice.pick(words()["frames"]["request"])
    if "{base}" in frame and "{he}" not in frame and "{him}" not in frame:
        voice.pronouns = YOU
    if "{third_plural}" in frame:
        voice.pronouns = YOU
    form = next(form for form in ("third_plural", "third", "base", "gerund") if f"{{{form}}}" in frame)
    if voice.pronouns is THEY and "{he}" in frame:
        voice.pronouns = HE if voice.chance(0.5) else SHE
    elif voice.pronouns is THEY and form == "third":  # "someone who nods"
        voice.pronouns = _ONE
    told = _narrated(program, "base" if form == "third_plural" else form, voice, "middle")
    said = frame.format(**{form: told}, he=voice.pronouns.they, him=voice.pronouns.them)
    return tidy(said) if voice.chance(0.5) else whole_sentence(said)


def keywords(program: Program, random: np.random.Generator) -> str:
    """Tags: `slight happiness, smile, nod x2`."""
    voice = Voice(random, THEY)
    parts = []
    for event in program.events():
        name = noun_of(event, voice) if event.behaviour.kind == "emotion" else event.behaviour.name
        if event.side:
            name = f"{name} {event.side}" if voice.chance(0.6) else f"{event.side} {name}"
        if event.absent:
            name = f"no {name}"
        if event.count > 1:
            name += voice.pick((f" x{event.count}", f" {event.count}x", f" {event.count} times", f" ×{event.count}"))
        if (
            event.level != "moderate"
            and event.behaviour.kind not in ("emotion", "speech", "gaze")
            and not event.behaviour.full
        ):
            how = ("slight", "small", "subtle") if event.level == "slight" else ("strong", "big", "intense")
            name = f"{voice.pick(how)} {name}"
        if event.tempo != "normal":
            name = f"{event.tempo} {name}"
        if event.seconds is not None:
            name += f" ({event.seconds:g}s)"
        parts.append(name)
    return voice.pick((", ", "; ", " / ", " | ", " + ")).join(parts)


def draw_scene(randoms: Mapping[str, np.random.Generator]) -> dict[str, str]:
    """Who is filmed, where, in which light, by which camera: {subject, pronoun, place, light, camera}.

    randoms: what `appearance`, `place`, `light` and `camera` are drawn from, each by its own.
    """
    random = randoms["appearance"]
    gender, pronouns = _gender(random)
    voice = Voice(random, pronouns)
    look = words()["appearance"]
    parts = [voice.pick(look[slot]) for slot in ("age", "origin", gender)]
    who = f"{' '.join(parts)} with {voice.pick(look['hair'])}"
    if voice.chance(0.5):
        who += f" and {voice.pick(look['detail'])}"
    article = "an" if who[0] in "aeiou" else "a"
    scene = {"subject": f"{article} {who}, wearing {voice.pick(look['clothes'])}", "pronoun": gender}
    for slot in ("place", "light", "camera"):
        scene[slot] = Voice(randoms[slot], pronouns).pick(words()["scene"][slot])
    return scene


def video_prompt(acts: str, scene: Mapping[str, str], random: np.random.Generator) -> str:
    """A prompt for a text-to-video model: the scene of `draw_scene`, and what happens in it, in a sentence."""
    style = words()["scene"]["style"]
    chosen = ", ".join(style[one] for one in sorted(random.choice(len(style), 2, replace=False)))
    subject = scene["subject"][:1].upper() + scene["subject"][1:]
    filmed = f"{whole_sentence(scene['camera'])} {whole_sentence(chosen)}"
    return tidy(f"{subject}, {scene['place']}, {scene['light']}. {whole_sentence(acts)} {filmed}")


def acts_of(program: Program, scene: Mapping[str, str], random: np.random.Generator) -> str:
    """What the person of the scene does, in a sentence: `She smiles, then nods.`"""
    pronouns = _PRONOUNS[scene["pronoun"]]
    return whole_sentence(sentence_about(program, pronouns.subject, Voice(random, pronouns)))


# -- narration -----------------------------------------------------------------------------------------


def _gender(random: np.random.Generator) -> tuple[str, Pronouns]:
    gender = ("she", "he", "they")[int(random.choice(3, p=(0.36, 0.36, 0.28)))]
    return gender, _PRONOUNS[gender]


def parts_of_base(program: Program) -> tuple[Event | None, list[Event], list[Event]]:
    """The emotion of the base, its speech, and the rest of it."""
    emotion = next((event for event in program.base if event.behaviour.kind == "emotion" and not event.absent), None)
    speech = [event for event in program.base if event.behaviour.kind == "speech" and not event.absent]
    return emotion, speech, [event for event in program.base if event is not emotion and event not in speech]


def _joined(parts: list[str], voice: Voice, length: str) -> str:
    joins = words()["joins"][f"then_{length}" if length else "then"]
    if voice.pronouns.they == "they" and not voice.pronouns.plural:
        # "The person nods before they smiles": the verb would have to agree with the pronoun.
        joins = [join for join in joins if "{they}" not in join]
    said = parts[0]
    for number, part in enumerate(parts[1:], start=2):
        join = voice.pick(joins)
        if "finally" in join and number < len(parts):
            join = ", then "
        said += join.format(they=voice.pronouns.they) + part
    return said


def _narrated(program: Program, form: str, voice: Voice, length: str = "") -> str:
    """The program from the verb on, without a subject, in one form of the verb. length: of the words between steps,
    short, middle or (empty, for the third person only) long."""
    emotion, speech, others = parts_of_base(program)
    steps = [step_clause(step, form, voice) for step in program.steps]
    told = _joined(steps, voice, length) if steps else ""
    lead = [clause(event, form, voice) for event in speech]
    if lead and told:
        option = int(voice.random.integers(3))
        if option == 0:
            told = f"{lead[0]} and {told}"
        elif option == 1:
            told = f"{told} while {clause(speech[0], 'gerund', voice)}"
        else:
            told = f"{lead[0]}, {told}" if length == "short" else f"{lead[0]} and meanwhile {told}"
    elif lead:
        told = lead[0]
    if emotion is not None:
        if not told:
            told = clause(emotion, form, voice)
        elif voice.held_out:
            told = f"{clause(emotion, form, voice)} and {told}"
        else:
            kind = int(voice.random.integers(4))
            if kind == 0:
                told = f"{told}, looking {adjective_of(emotion, voice)[0]}"
            elif kind == 1:
                told = f"{told} with {noun_of(emotion, voice)}"
            elif kind == 2:
                told = f"{fill('[look]', form, voice.pronouns)} {adjective_of(emotion, voice)[0]} and {told}"
            else:
                told = f"{told}, {clause(emotion, 'gerund', voice)}"
    for event in others:
        if event.absent:
            told = (told or fill("[face] the camera", form, voice.pronouns)) + along(event, voice)
        elif not told:
            told = clause(event, form, voice)
        else:
            told += f", {clause(event, 'gerund', voice)} {voice.pick(words()['joins']['throughout'])}"
    return told


def sentence_about(program: Program, subject: str, voice: Voice) -> str:
    """A sentence without its full stop. The emotion of the base may stand before the subject."""
    emotion, speech, _ = parts_of_base(program)
    if subject.lower() == "i":
        subject = "I"
    pronouns = voice.pronouns
    if voice.pronouns is THEY and subject != "They":
        # "The person smiles", and later "they nod": the first verb agrees with the noun.
        singular = Pronouns(subject, "they", "them", "their", "themself", plural=False)
        voice.pronouns = singular
    lead = ""
    if emotion is not None and (program.steps or speech) and voice.chance(0.5) and not voice.held_out:
        option = int(voice.random.integers(3))
        low = subject if subject == "I" else subject[0].lower() + subject[1:]
        if option == 0:
            lead = f"looking {adjective_of(emotion, voice)[0]}, {low} "
        elif option == 1:
            lead = f"with {noun_of(emotion, voice)} on {voice.pronouns.their} face, {low} "
        else:
            verb = fill("[look]", "third", voice.pronouns)
            lead = f"{low} {verb} {adjective_of(emotion, voice)[0]} as {voice.pronouns.they} "
            if pronouns is THEY:
                voice.pronouns = THEY
        program = Program(program.steps, tuple(event for event in program.base if event is not emotion))
    told = _narrated(program, "third", voice, "middle" if voice.chance(0.3) else "")
    voice.pronouns = pronouns
    return (lead or f"{subject} ") + told


def whole_sentence(text: str) -> str:
    text = tidy(text)
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def tidy(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\s+([,.;?!])", r"\1", text)
    return re.sub(r"([,;])\1+", r"\1", text)
