package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

const (
	// maxArgs limits the arguments of a task, in bytes of JSON.
	maxArgs = 64 << 10
	// listedArgs limits the arguments shown in lists, in bytes of JSON. Of larger ones,
	// lists show the store only.
	listedArgs = 1 << 10
)

// Args are the arguments of a task. [DecodeArgs] determines which of them each kind takes,
// and under which keys.
type Args struct {
	Store   string `json:"store,omitempty"` // id
	Image   string `json:"image,omitempty"` // id
	DryRun  bool   `json:"dry_run,omitempty"`
	Confirm bool   `json:"confirm,omitempty"`
	Into    string `json:"into,omitempty"`                  // id of the store that images are moved into
	Damaged bool   `json:"damaged_as_background,omitempty"` // write background in place of damaged tiles

	Labels     bool `json:"labels,omitempty"`     // export label and macro, too
	Deidentify bool `json:"deidentify,omitempty"` // export nothing that identifies the patient
	Sparse     bool `json:"sparse,omitempty"`     // export without tiles that the scanner skipped
}

// The arguments of each kind.
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
	exportArgs struct {
		Store      string `json:"store"`
		Image      string `json:"image"`
		Labels     bool   `json:"labels"`
		Deidentify bool   `json:"deidentify"`
		Sparse     bool   `json:"sparse"`
	}
	moveArgs struct {
		Store   string `json:"store"`
		Image   string `json:"image"`
		Into    string `json:"into"`
		DryRun  bool   `json:"dry_run"`
		Confirm bool   `json:"confirm"`
	}
	packArgs struct {
		Store   string `json:"store"`
		Image   string `json:"image"`
		Into    string `json:"into"`
		DryRun  bool   `json:"dry_run"`
		Confirm bool   `json:"confirm"`
		Damaged bool   `json:"damaged_as_background"`
	}
)

// DecodeArgs decodes the arguments of a kind of task. All JSON arguments are decoded by it:
// when a client submits a task, when its permissions are checked, and when the task runs.
// The error is [ErrBadArgs] and names the wrong key.
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
	case PackImage:
		var v packArgs
		err = strictjson.Unmarshal(raw, &v)
		a = Args{Store: v.Store, Image: v.Image, Into: v.Into, DryRun: v.DryRun, Confirm: v.Confirm, Damaged: v.Damaged}
	case MoveImage:
		var v moveArgs
		err = strictjson.Unmarshal(raw, &v)
		a = Args{Store: v.Store, Image: v.Image, Into: v.Into, DryRun: v.DryRun, Confirm: v.Confirm}
	case ExportDICOM:
		var v exportArgs
		err = strictjson.Unmarshal(raw, &v)
		a = Args{Store: v.Store, Image: v.Image, Labels: v.Labels, Deidentify: v.Deidentify, Sparse: v.Sparse}
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

// encode encodes the arguments for storage: equal arguments have equal bytes. Arguments
// that the kind does not take are an error.
func (a Args) encode(kind string) (json.RawMessage, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("arguments of task %s: %w", kind, err)
	}
	_, err = DecodeArgs(kind, raw)
	return raw, err
}

// StoreOf returns the id of the store that a task is about, or "" if the task is not about
// a store or its arguments are invalid.
func (v *View) StoreOf() string { return storeOf(v.Kind, v.Args) }

func storeOf(kind string, raw json.RawMessage) string {
	a, err := DecodeArgs(kind, raw)
	if err != nil {
		return ""
	}
	return a.Store
}

// shorten removes large arguments from a task in a list.
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

// CheckImage returns [ErrBadArgs] if the image that a task is about is in another store
// than the task's: permissions are granted for the store. A missing image is not an error
// of the arguments, and neither is one that the task has moved.
func (a Args) CheckImage(im *catalog.Image) error {
	moved := a.Into != "" && im.StoreID == a.Into && slices.Contains(im.FormerStores, a.Store)
	if im.StoreID != a.Store && !moved {
		return fmt.Errorf("%w: the image is not in the store", ErrBadArgs)
	}
	return nil
}
