"""Names of expressions."""


def spell_side(name: str) -> str:
    """`mouthSmile_L`, as ICT-FaceKit writes it, is `mouthSmileLeft` in ARKit's spelling; others stay as they are."""
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name.removesuffix(ending) + side
    return name


def other_side(name: str) -> str:
    """`mouthSmileLeft` is `mouthSmileRight` and the other way round; names without a side at their end stay."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name
