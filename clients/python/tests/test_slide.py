"""Tests of slides against a server, which TestPythonClient starts, and beside OpenSlide."""

import itertools
import os
import unittest

from ptiffstore import ChangedError, Client, RequestError, Slide
from tests.serving import needs, respond, serving


class SlideTest(unittest.TestCase):
    """philips.tiff has label, macro and four levels; plain.tiff levels of 900 x 700 and 225 x 175 pixels."""

    @classmethod
    def setUpClass(cls):
        cls.client = Client()
        store = cls.client.store("Scanner 1")["id"]
        cls.ids = {image["file_name"]: image["id"] for image in cls.client.images(store=store)}
        cls.plain = cls.client.slide(cls.ids["plain.tiff"])
        cls.philips = cls.client.slide(cls.ids["philips.tiff"])

    def beside(self):
        """Yields each slide and the same as OpenSlide opens it."""
        import openslide

        for slide, name in (self.plain, "plain.tiff"), (self.philips, "philips.tiff"):
            with openslide.OpenSlide(os.path.join(os.environ["TEST_FOLDER"], name)) as want:
                yield slide, want

    @needs("openslide")
    def test_structure(self):
        for slide, want in self.beside():
            self.assertEqual(slide.dimensions, want.dimensions)
            self.assertEqual(slide.level_count, want.level_count)
            self.assertEqual(slide.level_dimensions, want.level_dimensions)
            for got, downsample in zip(slide.level_downsamples, want.level_downsamples):
                self.assertAlmostEqual(got, downsample, delta=0.02 * downsample)
            for downsample in 0.5, 1, 1.9, 2, 3, 4, 5, 17, 1000:
                if all(abs(downsample - has) > 0.02 * has for has in want.level_downsamples):
                    self.assertEqual(slide.get_best_level_for_downsample(downsample), want.get_best_level_for_downsample(downsample), downsample)
            for name, value in want.properties.items():
                if name.startswith("openslide.") and name in slide.properties and "downsample" not in name:
                    try:
                        self.assertAlmostEqual(float(slide.properties[name]), float(value), delta=1e-6)
                    except ValueError:
                        self.assertEqual(slide.properties[name], value, name)
        self.assertEqual(self.philips.properties["openslide.vendor"], "philips")
        self.assertIn("openslide.mpp-x", self.philips.properties)

    @needs("openslide")
    def test_pixels(self):
        """Regions are those of OpenSlide, inside, across the edge and outside."""
        from PIL import ImageChops, ImageStat

        for slide, want in self.beside():
            for level in range(slide.level_count):
                step = round(slide.level_downsamples[level])
                width, height = slide.level_dimensions[level]
                for location in (0, 0), (32, 64), (-16, -8), (width - 40, height - 30), (width + 300, 0):
                    size = (90, 70)
                    a = want.read_region((location[0] * step, location[1] * step), level, size)
                    b = slide.read_region((location[0] * step, location[1] * step), level, size)
                    self.assertEqual((b.mode, b.size), ("RGBA", size))
                    opaque = ImageChops.multiply(a.getchannel("A"), b.getchannel("A"))
                    if level == 0 or location == (0, 0):
                        # OpenSlide leaves out tiles of bare glass, which here have the background colour.
                        self.assertEqual(ImageChops.subtract(a.getchannel("A"), b.getchannel("A")).getextrema(), (0, 0), (slide, level, location))
                    for channel in "RGB":
                        difference = ImageChops.multiply(ImageChops.difference(a.getchannel(channel), b.getchannel(channel)), opaque)
                        self.assertLess(ImageStat.Stat(difference).mean[0], 1, (slide, level, location))

    @needs("openslide")
    def test_associated_images(self):
        from PIL import ImageChops, ImageStat

        for slide, want in self.beside():
            for name, picture in want.associated_images.items():
                got = slide.associated_images[name]
                if name == "label":  # the server shows labels upright
                    picture = picture.rotate(90, expand=True)
                self.assertEqual((got.mode, got.size), ("RGBA", picture.size))
                self.assertLess(max(ImageStat.Stat(ImageChops.difference(got.convert("RGB"), picture.convert("RGB"))).mean), 2, name)
        self.assertEqual(set(self.philips.associated_images), {"label", "macro"} | (set(self.philips.associated_images) & {"thumbnail"}))
        with self.assertRaises(KeyError):
            self.plain.associated_images["label"]

    @needs("openslide")
    def test_thumbnail(self):
        from PIL import ImageChops, ImageStat

        for slide, want in self.beside():
            a, b = want.get_thumbnail((200, 200)), slide.get_thumbnail((200, 200))
            self.assertLessEqual(max(abs(a.width - b.width), abs(a.height - b.height)), 1)
            difference = ImageChops.difference(a.convert("RGB"), b.resize(a.size))
            self.assertLess(max(ImageStat.Stat(difference).mean), 8)
        self.assertEqual(self.plain.get_thumbnail((5000, 5000)).size, (900, 700))

    @needs("openslide")
    def test_programs_of_openslide(self):
        """A program for OpenSlide runs with its import changed."""
        from ptiffstore import openslide

        for name in self.plain.id, os.environ["PTIFFSTORE_URL"] + "/slides/" + self.plain.id + "?z=3":
            with openslide.open_slide(name) as slide:
                self.assertEqual(slide.dimensions, (900, 700))
                self.assertIn(openslide.PROPERTY_NAME_VENDOR, self.philips.properties)
                self.assertEqual(slide.read_region((0, 0), 0, (8, 8)).size, (8, 8))
        self.assertIsNone(openslide.OpenSlide.detect_format("none"))
        for name in "http://elsewhere.example/slides/a", os.environ["PTIFFSTORE_URL"] + "/stores":
            with self.assertRaises(openslide.OpenSlideError):
                openslide.open_slide(name)

    @needs("PIL")
    def test_micrometres(self):
        mpp = float(self.philips.properties["openslide.mpp-x"])
        picture = self.philips.read_region_um((100 * mpp, 50 * mpp), (64 * mpp, 32 * mpp))
        self.assertEqual((picture.mode, picture.size), ("RGB", (64, 32)))
        self.assertEqual(self.philips.read_region_um((0, 0), (200 * mpp, 100 * mpp), mpp=2 * mpp).size, (100, 50))

    @needs("PIL")
    def test_regions(self):
        """Pictures come in the order of the regions; regions are read as far ahead as needed."""
        taken = itertools.count()

        def regions():
            for i in range(60):
                next(taken)
                yield (10 * i, 5 * i), 0, (16, 16)

        pictures = self.plain.read_regions(regions(), workers=4)
        first = next(pictures)
        self.assertLess(next(taken), 12)
        rest = list(pictures)
        self.assertEqual(len(rest), 59)
        self.assertEqual(first.tobytes(), self.plain.read_region((0, 0), 0, (16, 16)).tobytes())
        self.assertEqual(rest[19].tobytes(), self.plain.read_region((200, 100), 0, (16, 16)).tobytes())
        with self.assertRaisesRegex(RequestError, "level"):
            list(self.plain.read_regions([((0, 0), 0, (8, 8)), ((0, 0), 9, (8, 8))]))

    @needs("numpy")
    @needs("PIL")
    def test_data_set(self):
        """The data set in docs/python.md yields patches of tissue."""
        with open(os.path.join(os.path.dirname(__file__), "../../../docs/python.md"), encoding="utf-8") as file:
            example = next(block for block in file.read().split("```") if "class Patches" in block)
        names = {}
        exec(example[example.index("import"):], names)
        patches = list(names["Patches"]([self.plain.id], size=64, downsample=1))
        self.assertEqual({patch.shape for patch in patches}, {(64, 64, 3)})

    def test_refused(self):
        for level in -1, 2, 9:
            with self.assertRaisesRegex(RequestError, "has no level"):
                self.plain.read_region((0, 0), level, (8, 8))
        with self.assertRaises(RequestError) as caught:
            self.client.slide("../stores")
        self.assertEqual(caught.exception.status, 404)


RECORD = {
    "id": "i", "revision": "r", "state": "available", "levels": [{"width": 9, "height": 9, "downsample": 1}],
    "mpp_x": None, "associated": [],
}


class RevisionTest(unittest.TestCase):
    def test_replaced(self):
        """Pixels of a file that was replaced are not returned."""
        def answer(handler):
            if "/region" in handler.path:
                self.assertIn("v=r", handler.path)
                respond(handler, 404, b'{"detail":"No such revision."}')
            else:
                respond(handler, 200, b'{"revision":"other"}')

        with serving(answer) as url:
            with self.assertRaises(ChangedError):
                Slide(Client(url), RECORD).read_region((0, 0), 0, (2, 2))

    def test_not_available(self):
        with self.assertRaisesRegex(RequestError, "broken.*it ends early"):
            Slide(None, dict(RECORD, state="broken", reason="it ends early"))

    def test_no_resolution(self):
        with self.assertRaisesRegex(RequestError, "no resolution"):
            Slide(None, RECORD).read_region_um((0, 0), (1, 1))


if __name__ == "__main__":
    unittest.main()
