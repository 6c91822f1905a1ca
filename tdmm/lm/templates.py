"""Instructions in words, for base models that know languages. Each task can be asked for in many ways."""

from __future__ import annotations

import numpy as np

from tdmm.errors import LmError

_DESCRIBE = {
    "short": (
        "Describe the facial motion in a few words:",
        "Sum up what the face does in one short sentence:",
        "Give a brief caption of this facial motion:",
        "What does the person do? Answer briefly:",
        "Write a short caption for this face:",
        "In a few words, what happens in this facial motion?",
        "Briefly say what the face shows:",
        "Name what the person does, in one line:",
        "Caption this facial animation concisely:",
    ),
    "long": (
        "Describe the facial motion in detail:",
        "Tell everything that the face does, from start to end:",
        "Give a full description of this facial motion, with times:",
        "What does the person do? Answer at length:",
        "Write a detailed caption for this face:",
        "Explain step by step what happens in this facial motion:",
        "Say in full what the face, the head and the eyes do:",
        "Describe every expression and every movement of the head:",
        "Caption this facial animation thoroughly:",
    ),
    "timeline": (
        "List what the face does and when:",
        "Write a timeline of this facial motion:",
        "Give each event of the facial motion with its start and end in seconds:",
        "When does what happen? List it in order:",
        "Make a list of moments with what the person does in each:",
        "Break the facial motion down by time:",
        "Note start, end and action of everything the face does:",
        "Annotate this facial animation with times:",
        "Transcribe the facial motion as a sequence of timed events:",
    ),
}
INSTRUCTIONS: dict[str, tuple[str, ...]] = {
    "animate": (
        "Animate the face:",
        "Make the face do this:",
        "Generate the facial motion of this text:",
        "Turn the description into facial motion:",
        "Write the motion tokens of a face that does the following:",
        "Produce a facial animation for this prompt:",
        "Perform this with a face:",
        "Act out the text as facial motion:",
        "Create the head and face movements described here:",
        "Show this on a 3D face:",
    ),
    **{f"describe {detail}": said for detail, said in _DESCRIBE.items()},
    "ask": (
        "Answer the question about the facial motion:",
        "Look at the facial motion and answer:",
        "Here is a facial motion, and a question about it:",
        "Read the motion tokens, then answer the question:",
        "What is the answer, judging by this face?",
        "Reply to the question on what the person does:",
        "Answer from the facial animation alone:",
        "Study the face, then answer:",
        "Give a short answer about this facial motion:",
    ),
    "continue": (
        "Continue the facial motion so that it fits the text:",
        "Go on with this facial motion as the text says:",
        "Finish the facial animation that the text describes:",
        "The motion begins as shown; write the rest of it:",
        "Complete the facial motion after the given start:",
        "Carry the facial motion on to match the prompt:",
        "Keep animating the face from here, following the text:",
        "Extend this facial motion according to the description:",
    ),
    "between": (
        "Fill the gap in the facial motion so that it fits the text:",
        "Write the missing middle of this facial motion:",
        "Join the two parts of the facial motion as the text says:",
        "Complete the facial animation between its start and its end:",
        "What does the face do in the gap? Write the motion:",
        "Bridge the start and the end with facial motion that matches the prompt:",
        "Put in the facial motion that is left out:",
        "Interpolate the facial motion, following the description:",
    ),
    "predict": (
        "Predict how the facial motion goes on:",
        "What will the face do next? Write the motion:",
        "Continue this facial motion:",
        "Go on with the facial motion in a natural way:",
        "Guess the rest of this facial animation:",
        "Extend the facial motion from where it stops:",
        "Write the facial motion that follows:",
        "Forecast the next movements of the face:",
    ),
}


def instruction(task: str, detail: str = "", random: np.random.Generator | None = None) -> str:
    """An instruction for a task of TASKS; detail: of a description. random: None gives the first of them, always."""
    ways = INSTRUCTIONS.get(f"{task} {detail}".strip())
    if ways is None:
        raise LmError(f"instructions: there are none for {f'{task} {detail}'.strip()!r}")
    return ways[0] if random is None else ways[int(random.integers(len(ways)))]
