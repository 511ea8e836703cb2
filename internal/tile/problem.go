package tile

import (
	"context"
	"errors"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/slide"
)

// A Problem is an error as it is reported to the client. It contains no file name or path.
type Problem struct {
	Status     int    // HTTP status code
	Detail     string // a sentence a person can act on
	RetryAfter int    // seconds; 0 for no such header
}

// Explain returns the problem to report for err.
func Explain(err error) Problem {
	switch {
	case errors.Is(err, ErrNoImage):
		return Problem{404, "There is no such image, or it is not available for viewing.", 0}
	case errors.Is(err, ErrAmbiguous):
		return Problem{409, "More than one image has this file name: request the image by its id.", 0}
	case errors.Is(err, slide.ErrNoTile):
		return Problem{404, "The image has no such tile.", 0}
	case errors.Is(err, slide.ErrNoAssociated):
		return Problem{404, "The image has no such associated image.", 0}
	case errors.Is(err, ErrColor):
		return Problem{400, "The parameter icc must be none, embed or srgb.", 0}
	case errors.Is(err, profile.ErrUnusable):
		_, reason, _ := strings.Cut(err.Error(), profile.ErrUnusable.Error()+": ")
		return Problem{422, "The colour profile of the image cannot be used: " + reason + ". Without the parameter icc the image is sent as it was scanned.", 0}
	case errors.Is(err, ErrOldRevision):
		return Problem{404, "The image has changed: this is not its current revision. Load the image again.", 0}
	case errors.Is(err, ErrChanged):
		return Problem{503, "The file of the image has just changed and is being inspected again. Try again.", 1}
	case errors.Is(err, ErrUnreachable):
		return Problem{503, "The image cannot be read at present: its disk may not be mounted, or its server not be running. Try again later.", 30}
	case errors.Is(err, ErrBusy):
		return Problem{503, "The server has too many requests at once. Try again.", 1}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Problem{503, "The answer took too long. Try again.", 5}
	case errors.Is(err, ErrTooLarge):
		return Problem{502, "This image is too large to be decoded here: labels, macros and progressive JPEGs may have 16 million pixels, and decoding may use a third of the memory limit of the server. The numbers are in the log of the server.", 0}
	case errors.Is(err, ErrUnreadable):
		return Problem{502, "This part of the file of the image cannot be read: it is damaged, or stored in a way that is not supported. The reason is in the log of the server.", 0}
	}
	return Problem{500, "Something went wrong in the server. The reason is in its log.", 0}
}
