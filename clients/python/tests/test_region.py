"""Tests of regions against a server, which TestPythonClient starts."""

import os
import unittest

from ptiffstore import Region, RequestError, Server, UnavailableError
from tests.serving import needs, respond, serving


class ReadRegionTest(unittest.TestCase):
    """plain.tiff has levels of 900 x 700 and 225 x 175 pixels; the profile of profile.tiff swaps red and green."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        stores = {store["label"]: store["id"] for store in cls.server.items("/api/v1/stores")}
        ids = {(image["store"], image["file_name"]): image["id"] for image in cls.server.items("/api/v1/images")}
        cls.plain = ids[stores["Scanner 1"], "plain.tiff"]  # the folder of "Lost" has a file of that name, too
        cls.profile = ids[stores["Other"], "profile.tiff"]

    def test_levels(self):
        whole = self.server.read_region(self.plain, (0, 0), 0, (900, 700))
        self.assertEqual(whole.size, (900, 700))
        part = self.server.read_region(self.plain, (300, 200), 0, (64, 48))
        rows = [whole.pixels[3 * (900 * y + 300):][:3 * 64] for y in range(200, 248)]
        self.assertEqual(part.pixels, b"".join(rows))
        self.assertGreater(len(set(part.pixels)), 20)  # tissue, not glass
        # The location is in pixels of level 0, the size in those of the level.
        small = self.server.read_region(self.plain, (0, 0), 1, (225, 175))
        part = self.server.read_region(self.plain, (400, 200), 1, (30, 20))
        rows = [small.pixels[3 * (225 * y + 100):][:3 * 30] for y in range(50, 70)]
        self.assertEqual(part.pixels, b"".join(rows))

    def test_outside(self):
        part = self.server.read_region(self.plain, (-10, -20), 0, (40, 50))
        inside = self.server.read_region(self.plain, (0, 0), 0, (30, 30))
        self.assertEqual(part.pixels[3 * (40 * 20 + 10):][:90], inside.pixels[:90])
        self.assertEqual(part.pixels[:3 * 40 * 20], b"\xff" * (3 * 40 * 20))

    def test_colors(self):
        location, size = (300, 200), (100, 80)
        scanned = self.server.read_region(self.profile, location, 0, size)
        self.assertEqual(scanned.pixels, self.server.read_region(self.profile, location, 0, size, icc="none").pixels)
        converted = self.server.read_region(self.profile, location, 0, size, icc="srgb")

        def mean(region, channel):
            values = region.pixels[channel::3]
            return sum(values) / len(values)

        self.assertGreater(mean(scanned, 0), mean(scanned, 1) + 10)  # tissue is red or violet
        self.assertGreater(mean(converted, 1), mean(converted, 0) + 10)

    def test_encoded(self):
        query = {"x": 64, "y": 64, "w": 128, "h": 128}
        self.assertEqual(self.server.region(self.plain, **query)[:3], b"\xff\xd8\xff")
        png = self.server.region(self.plain, format="png", icc="srgb", **query)
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")
        self.assertIn(b"iCCP", self.server.region(self.profile, format="png", icc="embed", **query))

    def test_refused(self):
        for image, location, level, icc, status, words in (
            (self.plain, (5000, 0), 0, "none", 400, "outside"),
            (self.plain, (0, 0), 7, "none", 400, "level"),
            (self.plain, (0, 0), 0, "p3", 400, "srgb"),
            ("../stores", (0, 0), 0, "none", 404, "image"),
        ):
            with self.assertRaisesRegex(RequestError, words) as caught:
                self.server.read_region(image, location, level, (10, 10), icc=icc)
            self.assertEqual(caught.exception.status, status)

    @needs("openslide")
    def test_openslide(self):
        import openslide
        from PIL import Image, ImageChops, ImageStat

        with openslide.OpenSlide(os.path.join(os.environ["TEST_FOLDER"], "plain.tiff")) as slide:
            for location, level in ((300, 200), 0), ((517, 301), 0), ((400, 200), 1), ((0, 4), 1):
                want = slide.read_region(location, level, (90, 70))
                white = Image.new("RGBA", want.size, "white")
                want = Image.alpha_composite(white, want).convert("RGB")
                got = Image.fromarray(self.server.read_region(self.plain, location, level, (90, 70)))
                difference = ImageStat.Stat(ImageChops.difference(got, want))
                self.assertLess(max(difference.mean), 1, (location, level))  # JPEG decoders differ by less
                self.assertGreater(max(ImageStat.Stat(got).stddev), 5)

    @needs("numpy")
    def test_numpy(self):
        import numpy

        region = self.server.read_region(self.plain, (300, 200), 0, (64, 48))
        array = numpy.asarray(region)
        self.assertEqual((array.shape, array.dtype), ((48, 64, 3), numpy.uint8))
        self.assertEqual(array.tobytes(), region.pixels)

    @needs("PIL")
    def test_pil(self):
        from PIL import Image

        region = self.server.read_region(self.plain, (300, 200), 0, (64, 48))
        image = Image.fromarray(region)
        self.assertEqual((image.mode, image.size), ("RGB", (64, 48)))
        self.assertEqual(image.tobytes(), region.pixels)


class RegionTest(unittest.TestCase):
    def test_sizes(self):
        self.assertEqual(repr(Region(2, 1, bytes(6))), "Region(2 x 1)")
        for width, height, count in (2, 1, 5), (0, 1, 0), (-1, -2, 6):
            with self.assertRaises(ValueError):
                Region(width, height, bytes(count))

    def test_incomplete(self):
        """A connection that ends early is an error, as is a response of another size."""
        def end_early(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "12")
            handler.end_headers()
            handler.wfile.write(bytes(7))
            handler.close_connection = True

        with serving(end_early) as url:
            with self.assertRaisesRegex(UnavailableError, "5 bytes are missing"):
                Server(url=url).read_region("i", (0, 0), 0, (2, 2))
        with serving(lambda handler: respond(handler, 200, bytes(9))) as url:
            with self.assertRaisesRegex(RequestError, "9 bytes"):
                Server(url=url).read_region("i", (0, 0), 0, (2, 2))


if __name__ == "__main__":
    unittest.main()
