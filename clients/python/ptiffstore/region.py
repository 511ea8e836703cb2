"""Pixels of an image."""


class Region:
    """A rectangle of pixels: RGB of 8 bits each, in rows from top to bottom.

    numpy.asarray(region) is an array of height x width x 3 that shares the memory, and
    PIL.Image.fromarray(region) an image. Neither package is needed otherwise.

    width, height: in pixels.
    pixels: 3 * width * height bytes.
    """

    def __init__(self, width, height, pixels):
        if width < 1 or height < 1 or len(pixels) != 3 * width * height:
            raise ValueError("%d bytes are not %d x %d pixels of 3 bytes" % (len(pixels), width, height))
        self.width = width
        self.height = height
        self.pixels = pixels

    def __repr__(self):
        return "Region(%d x %d)" % (self.width, self.height)

    @property
    def size(self):
        """(width, height), as OpenSlide and PIL have it."""
        return self.width, self.height

    def tobytes(self):
        return bytes(self.pixels)

    @property
    def __array_interface__(self):
        """The array interface of NumPy, version 3."""
        return {
            "version": 3, "shape": (self.height, self.width, 3), "typestr": "|u1", "data": self.pixels,
            "strides": (3 * self.width, 3, 1),  # PIL calls tobytes if there are strides
        }
