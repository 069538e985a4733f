"""The lines of a Python program that make the engine's input of a picture, as the build did.

They compute what `data.images` computes, in the same order and types, with the values of one
preprocessing written in.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.data.resize import OPENCV_METHODS, PILLOW_METHODS
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.geometry import Box, box_of, pads_of


def picture_lines(facts: PackageFacts, *, tells_place: bool = False) -> Iterator[str]:
    """Yields the constants and the function `prepared`.

    Args:
        tells_place: it returns the input and the place of the picture in it, else the input alone.
    """
    model, rule = facts.model, facts.model.preprocessing
    yield f"WIDTH, HEIGHT = {model.width}, {model.height}"
    if rule.mean and not facts.input.is_bytes:
        yield f"MEAN, STD = np.float32({list(rule.mean)}), np.float32({list(rule.std)})"
    yield ""
    yield ""
    yield "def prepared(path):"
    yield f'    """The picture as the engine takes it: {_taken(facts)}{_more(tells_place)}."""'
    yield "    picture = Image.open(path)"
    yield '    if picture.mode[0] in "IF":'
    yield '        sys.exit(f"{path}: only pictures of 8 bits are read")'
    if rule.exif:
        yield "    picture = ImageOps.exif_transpose(picture)"
    yield "    if picture.has_transparency_data:  # white shows through"
    yield '        upper = picture.convert("RGBA")'
    yield '        picture = Image.alpha_composite(Image.new("RGBA", upper.size, "white"), upper)'
    yield f'    picture = picture.convert("{"L" if facts.reads_grey else "RGB"}")'
    yield "    width, height = picture.size"
    yield from _size(rule, box_of(model))
    yield from _resized(rule)
    yield from _placed(facts)
    yield from _numbers(facts, "batch = " if tells_place else "return ")
    if tells_place:
        is_padded = rule.resize == "letterbox"
        yield "    # x and y of the input = x and y of the picture * scale + offset"
        yield "    scale = np.array([size[0] / width, size[1] / height])"
        yield f"    offset = np.array([{'left, top' if is_padded else '-left, -top'}])"
        yield "    return batch, (scale, offset, (width, height))"


def _more(tells_place: bool) -> str:
    return "; and its place there" if tells_place else ""


def _taken(facts: PackageFacts) -> str:
    return f"{' x '.join(map(str, facts.input_sizes))}, {facts.input.dtype}"


def _size(rule: Preprocessing, box: Box) -> Iterator[str]:
    """The lines that say what size the picture gets."""
    if rule.resize == "letterbox":
        yield "    scale = min(WIDTH / width, HEIGHT / height)"
        rounding = "int" if rule.pad_anchor == "top-left" else "round"
        yield f"    size = max({rounding}(width * scale), 1), max({rounding}(height * scale), 1)"
    elif rule.resize == "none":
        yield "    size = width, height"
        yield "    if width < WIDTH or height < HEIGHT:"
        yield '        sys.exit(f"{path}: it is smaller than {WIDTH} x {HEIGHT}")'
    elif rule.resize == "stretch":
        yield f"    size = {box.width}, {box.height}"
    else:
        yield f"    if width * {box.height} <= height * {box.width}:"
        yield f"        size = {box.width}, max(int({box.width} * height / width), {box.height})"
        yield "    else:"
        yield f"        size = max(int({box.height} * width / height), {box.width}), {box.height}"


def _resized(rule: Preprocessing) -> Iterator[str]:
    if rule.resize == "none":
        return
    yield "    if size != (width, height):"
    method = f"Image.Resampling.{PILLOW_METHODS[rule.interpolation]}"
    if rule.library == "opencv":
        flag = f"cv2.{OPENCV_METHODS[rule.interpolation]}"
        yield f"        resized = cv2.resize(np.asarray(picture), size, interpolation={flag})"
        yield "        picture = Image.fromarray(resized)"
    elif rule.antialias or rule.interpolation == "nearest":
        yield f"        picture = picture.resize(size, {method})"
    else:
        yield "        steps = (width / size[0], 0, 0, 0, height / size[1], 0)"
        yield "        affine = Image.Transform.AFFINE"
        yield f"        picture = picture.transform(size, affine, steps, resample={method})"


def _placed(facts: PackageFacts) -> Iterator[str]:
    """The lines that give the channels their order, and cut out the centre or pad."""
    rule, channels = facts.model.preprocessing, facts.model.channels
    yield "    pixels = np.asarray(picture)"
    if facts.reads_grey:
        yield f"    pixels = np.repeat(pixels[..., None], {channels}, axis=2)"
    elif rule.colour == "BGR":
        yield "    pixels = pixels[..., ::-1]"
    if rule.resize != "letterbox":
        yield "    left, top = round((size[0] - WIDTH) / 2), round((size[1] - HEIGHT) / 2)"
        yield "    pixels = pixels[top : top + HEIGHT, left : left + WIDTH]"
        return
    if rule.pad_anchor == "top-left":
        yield "    left, top = 0, 0"
    else:
        yield "    left = round((WIDTH - size[0]) / 2 - 0.1)"
        yield "    top = round((HEIGHT - size[1]) / 2 - 0.1)"
    pads = list(pads_of(facts.model))
    yield f"    canvas = np.full((HEIGHT, WIDTH, {channels}), {pads}, np.uint8)"
    yield "    canvas[top : top + size[1], left : left + size[0]] = pixels"
    yield "    pixels = canvas"


def _numbers(facts: PackageFacts, to: str) -> Iterator[str]:
    """The lines that make the input of the codes.

    Args:
        to: what the last statement begins with.
    """
    rule, name = facts.model.preprocessing, "pixels"
    if not facts.input.is_bytes:
        name = "values"
        yield "    values = pixels.astype(np.float32)"
        if rule.pixel_max != 255:
            yield "    values /= np.float32(255)"
            if rule.pixel_max != 1:
                yield f"    values *= np.float32({rule.pixel_max!r})"
        if rule.mean:
            yield "    values = (values - MEAN) / STD"
    moved = name if facts.input.layout == "NHWC" else f"{name}.transpose(2, 0, 1)"
    if facts.batch == 1:
        yield f"    {to}np.ascontiguousarray({moved}[None])"
    else:
        yield f"    {to}np.repeat({moved}[None], {facts.batch}, axis=0)  # the engine's batch"
