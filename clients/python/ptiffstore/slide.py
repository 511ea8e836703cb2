"""Slides with the names of openslide-python."""

import collections
import collections.abc
import concurrent.futures
import io
import math
import urllib.parse

from ptiffstore.region import Region
from ptiffstore.server import MAX_REGION, ChangedError, RequestError

# Properties of OpenSlide that every slide has here, if they are known.
VENDOR = "openslide.vendor"
MPP_X, MPP_Y = "openslide.mpp-x", "openslide.mpp-y"
OBJECTIVE_POWER = "openslide.objective-power"


class Slide:
    """A slide of a server, with the methods of openslide.OpenSlide.

    Client.slide returns it. Threads may share it.

    id: the id of the image.
    dimensions: (width, height) of level 0, in pixels.
    level_count, level_dimensions, level_downsamples: of the stored levels, largest first.
    properties: a dictionary with the names of OpenSlide, and those of the file that the
        caller may see.
    associated_images: a mapping of "label", "macro" and "thumbnail" to images of PIL,
        loaded when they are used, of those that the caller may see.
    record: the image as the API describes it.

    Pictures are images of PIL if Pillow is installed, otherwise of type Region.

    The slide keeps the revision of its file: if the file is replaced, methods raise
    ChangedError instead of returning pixels of the new one.
    """

    def __init__(self, server, record, icc="none"):
        self._server = server
        self._icc = icc
        self.record = record
        self.id = record["id"]
        self.revision = record["revision"]
        if record["state"] != "available":
            raise RequestError("slide %s is %s, and has no pixels%s" % (self.id, record["state"], ": " + record["reason"] if record.get("reason") else ""))
        self.level_dimensions = tuple((level["width"], level["height"]) for level in record["levels"])
        self.level_downsamples = tuple(float(level["downsample"]) for level in record["levels"])
        self.level_count = len(self.level_dimensions)
        self.dimensions = self.level_dimensions[0]
        self.properties = _properties(self)
        self.associated_images = _AssociatedImages(self, record.get("associated") or [])

    def __repr__(self):
        return "Slide(%r)" % self.id

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        """Does nothing: a slide holds nothing that must be closed."""

    def get_best_level_for_downsample(self, downsample):
        """Returns the smallest level that is at least as large as level 0 divided by downsample."""
        best = 0
        for level, has in enumerate(self.level_downsamples):
            if has <= downsample:
                best = level
        return best

    def read_region(self, location, level, size):
        """Returns pixels of a stored level.

        location: (x, y) of the top left corner, in pixels of level 0.
        level: the stored level, 0 being the largest.
        size: (width, height) of the result, in pixels of the level.

        With Pillow the result is an RGBA image, transparent outside of the slide, otherwise a
        Region.
        """
        image = _pillow()
        (x, y), (width, height) = location, size
        if not 0 <= level < self.level_count:
            raise RequestError("slide %s has no level %d: its levels are 0 to %d" % (self.id, level, self.level_count - 1), 400)
        if image is None:
            return self._raw(width, height, x=x, y=y, level=level)
        # The part of the result that is inside of the slide, in pixels of the result.
        left, top = (math.floor(v / self.level_downsamples[level]) for v in (x, y))
        inside = (
            max(0, -left), max(0, -top),
            min(width, self.level_dimensions[level][0] - left), min(height, self.level_dimensions[level][1] - top),
        )
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            return image.new("RGBA", (width, height))
        picture = image.fromarray(self._raw(width, height, x=x, y=y, level=level)).convert("RGBA")
        if inside == (0, 0, width, height):
            return picture
        clipped = image.new("RGBA", (width, height))
        clipped.paste(picture.crop(inside), inside[:2])
        return clipped

    def read_region_um(self, location, size, mpp=None):
        """Returns a part of the slide that is given in micrometres.

        location: (x, y) of the top left corner, from that of the slide.
        size: (width, height).
        mpp: micrometres for each pixel of the result; those of level 0 by default.

        The result is an RGB image or a Region. What is outside of the slide has the background
        colour of its store.
        """
        (x, y), (width, height) = location, size
        if mpp is None:
            mpp = self.record["mpp_x"]
        if not mpp:
            raise RequestError("the file of slide %s has no resolution, so micrometres cannot be used" % self.id, 400)
        return self._picture(self._raw(None, None, x=x, y=y, w=width, h=height, unit="um", mpp=mpp))

    def read_regions(self, regions, workers=8):
        """Yields the picture of each region, in their order, over several connections.

        regions: an iterable of (location, level, size), the arguments of read_region. It is
            read as far ahead as needed, so it may be long.
        workers: how many regions are requested at the same time.
        """
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            waiting = collections.deque()
            try:
                for region in regions:
                    waiting.append(pool.submit(self.read_region, *region))
                    if len(waiting) >= 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def get_thumbnail(self, size):
        """Returns the whole slide as an RGB image or a Region of at most size pixels."""
        width, height = self.dimensions
        scale = min(size[0] / width, size[1] / height, 1)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        return self._picture(self._raw(width, height, x=0, y=0, w=self.dimensions[0], h=self.dimensions[1]))

    def associated(self, name):
        """Returns an associated image as the file stores it: a JPEG."""
        return self._request("/associated/" + urllib.parse.quote(name, safe=""), {}).content

    @property
    def icc_profile(self):
        """The colour profile as it is in the file, None if there is none."""
        if not self.record.get("profile"):
            return None
        return self._request("/icc", {}, pin=False).content

    @property
    def color_profile(self):
        """The colour profile as a PIL.ImageCms.ImageCmsProfile, None if there is none."""
        profile = self.icc_profile
        if profile is None:
            return None
        from PIL import ImageCms

        return ImageCms.getOpenProfile(io.BytesIO(profile))

    def _picture(self, region):
        image = _pillow()
        return region if image is None else image.fromarray(region)

    def _raw(self, width, height, **query):
        """Returns a Region. Without width and height the server decides its size."""
        query["format"] = "raw"
        if width is not None:
            query["width"], query["height"] = width, height
        if self._icc != "none":
            query["icc"] = self._icc
        response = self._request("/region", query)
        if width is None:
            width, height = (int(response.headers[name]) for name in ("X-Region-Width", "X-Region-Height"))
        if len(response.content) != 3 * width * height:
            raise RequestError("the response for slide %s has %d bytes instead of %d x %d pixels" % (self.id, len(response.content), width, height))
        return Region(width, height, response.content)

    def _request(self, route, query, pin=True):
        """Sends a request for pixels of this revision of the file."""
        path = "/api/v1/images/" + urllib.parse.quote(self.id, safe="")
        if pin:
            query = dict(query, v=self.revision)
        address = path + route + ("?" + urllib.parse.urlencode(query) if query else "")
        try:
            return self._server._respond("GET", address, {}, None, MAX_REGION)
        except RequestError as error:
            if error.status == 404 and pin and self._server.get(path)["revision"] != self.revision:
                raise ChangedError("the file of slide %s was replaced: open the slide again" % self.id, 404) from None
            raise


class _AssociatedImages(collections.abc.Mapping):
    """The associated images of a slide, loaded when they are used."""

    def __init__(self, slide, names):
        self._slide = slide
        self._names = tuple(names)

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def __repr__(self):
        return "<associated images: %s>" % ", ".join(self._names)

    def __getitem__(self, name):
        if name not in self._names:
            raise KeyError(name)
        image = _pillow()
        if image is None:
            raise RequestError("associated images need Pillow: install it, or use Slide.associated(%r) for the JPEG" % name)
        with image.open(io.BytesIO(self._slide.associated(name))) as picture:
            return picture.convert("RGBA")


def _pillow():
    """Returns PIL.Image, None if Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    return Image


def _properties(slide):
    record = slide.record
    properties = dict(record.get("properties") or {})
    properties["openslide.level-count"] = str(slide.level_count)
    for level, (width, height) in enumerate(slide.level_dimensions):
        prefix = "openslide.level[%d]." % level
        properties[prefix + "width"], properties[prefix + "height"] = str(width), str(height)
        properties[prefix + "downsample"] = _number(slide.level_downsamples[level])
    for name, value in (
        (VENDOR, record.get("vendor") and record["vendor"].lower()), (MPP_X, record.get("mpp_x")), (MPP_Y, record.get("mpp_y")),
        (OBJECTIVE_POWER, record.get("objective_power")),
    ):
        if value is not None:
            properties[name] = value if isinstance(value, str) else _number(value)
    return properties


def _number(value):
    return str(int(value)) if value == int(value) else repr(float(value))
