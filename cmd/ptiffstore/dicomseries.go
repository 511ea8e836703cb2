package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
)

// slideFiles are the open files of a slide.
type slideFiles struct {
	files []*os.File
	size  int64 // bytes
}

// Close closes the files.
func (s *slideFiles) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// isSeries reports whether path is a folder, or a file that is read as DICOM. A file that is both
// TIFF and DICOM is a TIFF if its name says so.
func isSeries(path string) (bool, error) {
	fi, err := os.Stat(path)
	if err != nil || fi.IsDir() {
		return err == nil, err
	}
	if suffix := strings.ToLower(filepath.Ext(path)); suffix == ".tif" || suffix == ".tiff" {
		return false, nil
	}
	f, err := fsx.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 132)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return dicom.IsDICOM(head[:n]), nil
}

// openSeries opens the slide that the DICOM files of a folder are, or of the series to which the
// file at path belongs. Other files of the folder are ignored.
func openSeries(path string) (*slide.Slide, *slideFiles, error) {
	dir, wanted := path, ""
	if fi, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !fi.IsDir() {
		in, err := readInstance(path)
		if err != nil {
			return nil, nil, seriesError(path, err)
		}
		dir, wanted = filepath.Dir(path), in.Data.Text(dicom.SeriesInstanceUID)
	}
	paths, err := seriesPaths(dir, wanted)
	if err != nil {
		return nil, nil, err
	}
	files := &slideFiles{}
	var parts []dicom.Part
	for _, p := range paths {
		f, err := fsx.Open(p)
		if err != nil {
			return nil, nil, errors.Join(err, files.Close())
		}
		files.files = append(files.files, f)
		fi, err := f.Stat()
		if err != nil {
			return nil, nil, errors.Join(err, files.Close())
		}
		files.size += fi.Size()
		parts = append(parts, dicom.Part{Name: p, R: f, Size: fi.Size()})
	}
	s, err := dicom.Open(parts)
	if err != nil {
		return nil, nil, errors.Join(seriesError(path, err), files.Close())
	}
	return s, files, nil
}

// seriesPaths returns the files of the wanted series in a folder, or of its only series if wanted
// is "".
func seriesPaths(dir, wanted string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{} // by the UID of the series
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if fi, err := os.Stat(path); err != nil || !fi.Mode().IsRegular() {
			continue
		}
		in, err := readInstance(path)
		if errors.Is(err, dicom.ErrNotDICOM) {
			continue
		}
		if err != nil {
			return nil, seriesError(path, err)
		}
		if uid := in.Data.Text(dicom.SeriesInstanceUID); in.IsSlide() && (wanted == "" || uid == wanted) {
			found[uid] = append(found[uid], path)
		}
	}
	switch {
	case len(found) == 0:
		return nil, &exitError{exitFile, fmt.Errorf("%s contains no DICOM whole-slide image", dir)}
	case len(found) > 1:
		var one []string
		for _, paths := range found {
			one = append(one, filepath.Base(paths[0]))
		}
		slices.Sort(one)
		return nil, fmt.Errorf("%s contains %d series; name a file of one of them, such as %s", dir, len(found), strings.Join(one[:min(len(one), 5)], ", "))
	}
	for _, paths := range found {
		return paths, nil
	}
	return nil, nil
}

// readInstance reads the header of a file.
func readInstance(path string) (*dicom.File, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return dicom.Read(f, fi.Size())
}

// seriesError is [fileError] for DICOM files.
func seriesError(path string, err error) error {
	if errors.Is(err, dicom.ErrTruncated) {
		return &exitError{exitFile, fmt.Errorf("%s is broken: %w", path, err)}
	}
	return fileError(path, err)
}
