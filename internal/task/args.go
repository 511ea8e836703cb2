package task

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

const (
	// maxArgs bounds the arguments of a task, in bytes of JSON.
	maxArgs = 64 << 10
	// listedArgs bounds those that lists show. Of larger ones they show the store.
	listedArgs = 1 << 10
)

// Args are the arguments of a task. Which of them a kind takes, and under which keys,
// [DecodeArgs] says.
type Args struct {
	Store   string `json:"store,omitempty"` // id
	Image   string `json:"image,omitempty"` // id
	DryRun  bool   `json:"dry_run,omitempty"`
	Confirm bool   `json:"confirm,omitempty"`
}

// What the kinds take.
type (
	storeArgs struct {
		Store string `json:"store"`
	}
	syncArgs struct {
		Store   string `json:"store"`
		DryRun  bool   `json:"dry_run"`
		Confirm bool   `json:"confirm"`
	}
	imageArgs struct {
		Store string `json:"store"`
		Image string `json:"image"`
	}
)

// DecodeArgs reads the arguments of a kind of task. It is the only way from JSON to
// [Args], for clients that submit a task, for the check of their rights, and for the
// worker. The error, [ErrBadArgs], says which key is wrong.
func DecodeArgs(kind string, raw []byte) (Args, error) {
	if len(raw) > maxArgs {
		return Args{}, fmt.Errorf("%w: more than %d KB", ErrBadArgs, maxArgs>>10)
	}
	var a Args
	var err error
	switch kind {
	case SyncStore, ResyncStore:
		var v syncArgs
		err = strictjson.Unmarshal(raw, &v)
		a = Args{Store: v.Store, DryRun: v.DryRun, Confirm: v.Confirm}
	case ImportFile, HashImage, ReadBarcode, MakePreviews, ConvertImage:
		var v imageArgs
		err = strictjson.Unmarshal(raw, &v)
		a = Args{Store: v.Store, Image: v.Image}
	default:
		var v storeArgs
		err = strictjson.Unmarshal(raw, &v)
		a = Args{Store: v.Store}
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err = errors.New("an object is expected")
		if e.Field != "" {
			err = fmt.Errorf("%s must be a %s", e.Field, e.Type)
		}
	}
	if err != nil {
		return Args{}, fmt.Errorf("%w: %w", ErrBadArgs, err)
	}
	return a, nil
}

// encode returns the arguments as they are stored: the same ones are the same bytes. Arguments
// that the kind does not take are an error.
func (a Args) encode(kind string) (json.RawMessage, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("task: arguments of %s: %w", kind, err)
	}
	_, err = DecodeArgs(kind, raw)
	return raw, err
}

// StoreOf returns the id of the store that a task is about, "" if there is none or its
// arguments are invalid.
func (v *View) StoreOf() string { return storeOf(v.Kind, v.Args) }

func storeOf(kind string, raw json.RawMessage) string {
	a, err := DecodeArgs(kind, raw)
	if err != nil {
		return ""
	}
	return a.Store
}

// shorten takes arguments out of a task in a list that would make it large.
func (v *View) shorten() {
	if len(v.Args) <= listedArgs {
		return
	}
	short, err := Args{Store: v.StoreOf()}.encode(v.Kind)
	if err != nil || len(short) > listedArgs {
		short = json.RawMessage("{}")
	}
	v.Args = short
}

// CheckImage returns [ErrBadArgs] if the image that a task is about is not in its store:
// rights are held for the store. A missing image is not an error of the arguments.
func (a Args) CheckImage(im *catalog.Image) error {
	if im.StoreID != a.Store {
		return fmt.Errorf("%w: the image is not in the store", ErrBadArgs)
	}
	return nil
}
