"""Compare a slide as OpenSlide sees it with tiles and pictures in a folder.

Reads lines of a slide, a tab and a folder from standard input, and prints a line of
JSON for each. One process compares many slides: importing the modules takes longer than
most comparisons.

The folder holds levels as LEVEL_COL_ROW.jpg (or .png), and associated images
as KIND_STRIP.jpg, from top to bottom. They are decoded by the library that
OpenSlide decodes with, and so have to be equal to the last bit.
"""

import json
import os
import sys

import openslide
from PIL import Image, ImageChops


def judge(path, folder):
    """Return what OpenSlide sees in a slide, and the largest difference."""
    slide = openslide.OpenSlide(path)
    out = {
        "vendor": slide.properties["openslide.vendor"],
        "levels": [list(d) for d in slide.level_dimensions],
        "mpp": [float(slide.properties.get("openslide.mpp-" + a, 0)) for a in "xy"],
        "associated": {k: list(v.size) for k, v in slide.associated_images.items()},
        "tiles": 0,
        "empty": 0,
        "worst": 0,
        "where": "",
    }

    def compare(name, ours, theirs):
        """Note the largest difference of one channel of one pixel."""
        worst = max(hi for lo, hi in ImageChops.difference(ours.convert("RGB"), theirs.convert("RGB")).getextrema())
        if worst > out["worst"]:
            out["worst"], out["where"] = worst, name

    files = {}
    for name in sorted(os.listdir(folder)):
        stem = os.path.splitext(name)[0].split("_")
        files[tuple(int(n) if n.isdigit() else n for n in stem)] = os.path.join(folder, name)

    for level, (width, height) in enumerate(slide.level_dimensions):
        size = [k for k in files if len(k) == 3 and k[0] == level]
        if not size:
            continue
        tile_w, tile_h = Image.open(files[size[0]]).size
        whole = slide.read_region((0, 0), level, (width, height))
        for row in range(-(-height // tile_h)):
            for col in range(-(-width // tile_w)):
                box = (col * tile_w, row * tile_h, min((col + 1) * tile_w, width), min((row + 1) * tile_h, height))
                theirs = whole.crop(box)
                name = files.get((level, col, row))
                if name is None:
                    out["empty"] += 1
                    if theirs.getchannel("A").getextrema() != (0, 0):
                        out["worst"], out["where"] = 255, "level %d tile %d,%d is not empty" % (level, col, row)
                    continue
                out["tiles"] += 1
                ours = Image.open(name).crop((0, 0, box[2] - box[0], box[3] - box[1]))
                if theirs.getchannel("A").getextrema() != (255, 255):
                    out["worst"], out["where"] = 255, "level %d tile %d,%d is empty" % (level, col, row)
                compare("level %d tile %d,%d" % (level, col, row), ours, theirs)

    for kind, theirs in slide.associated_images.items():
        strips = [Image.open(files[k]) for k in sorted(k for k in files if k[0] == kind)]
        if not strips:
            continue
        ours = Image.new("RGB", theirs.size)
        top = 0
        for strip in strips:
            ours.paste(strip, (0, top))
            top += strip.size[1]
        compare(kind, ours, theirs)

    return out


for line in sys.stdin:
    try:
        answer = judge(*line.rstrip("\n").split("\t"))
    except Exception as e:
        answer = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(answer), flush=True)
