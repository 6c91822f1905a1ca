"""Names of expressions."""


def spell_side(name: str) -> str:
    """`mouthSmile_L`, as ICT-FaceKit writes it, is `mouthSmileLeft` in ARKit's spelling; others stay as they are."""
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name.removesuffix(ending) + side
    return name
