package dicom

import "errors"

func background(sample []byte, c colorModel) ([]byte, error) { return nil, errors.New("TODO") }
