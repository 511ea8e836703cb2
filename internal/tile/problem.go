package tile

import (
	"context"
	"errors"

	"github.com/slideatlas/ptiffstore/slide"
)

// A Problem is an error as the caller is told it. It names no file and no path.
type Problem struct {
	Status     int    // HTTP status code
	Detail     string // a sentence a person can act on
	RetryAfter int    // seconds; 0 for no such header
}

// Explain says what to answer to err. Every adapter answers with it, so that no
// two can differ.
func Explain(err error) Problem {
	switch {
	case errors.Is(err, ErrNoImage):
		return Problem{404, "There is no such image, or it is not available for viewing.", 0}
	case errors.Is(err, ErrAmbiguous):
		return Problem{409, "More than one image has this file name: ask for the image by its id.", 0}
	case errors.Is(err, slide.ErrNoTile):
		return Problem{404, "The image has no such tile.", 0}
	case errors.Is(err, slide.ErrNoAssociated):
		return Problem{404, "The image has no such associated image.", 0}
	case errors.Is(err, ErrOldRevision):
		return Problem{404, "The image has changed: this is not its current revision. Ask for the image again.", 0}
	case errors.Is(err, ErrChanged):
		return Problem{503, "The image's file has just changed and is being looked at anew. Try again.", 1}
	case errors.Is(err, ErrAway):
		return Problem{503, "The image's file is out of reach at present: its disk may not be mounted.", 30}
	case errors.Is(err, ErrBusy):
		return Problem{503, "The server has more to do than it can. Try again.", 1}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Problem{503, "The answer took too long. Try again.", 5}
	case errors.Is(err, ErrTooLarge):
		return Problem{502, "This picture is too large to be decoded here: labels, macros and progressive JPEGs may have 16 million pixels, and what decoding takes must fit into a third of the server's memory limit. The numbers are in the server's log.", 0}
	case errors.Is(err, ErrUnreadable):
		return Problem{502, "This part of the image's file cannot be read: it is damaged, or stored in a way that is not read here. The reason is in the server's log.", 0}
	}
	return Problem{500, "Something went wrong in the server. The reason is in its log.", 0}
}
