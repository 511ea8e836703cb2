package main

import (
	"log/slog"

	"github.com/slideatlas/ptiffstore/internal/bucket"
)

// bucketFlags are the flags of every process that reads stores in buckets. The credentials are
// not among them: the environment and the files of AWS's tools have them.
type bucketFlags struct {
	S3Endpoint  string `key:"s3.endpoint" name:"s3-endpoint" placeholder:"URL" help:"Server of the stores in buckets, https://HOST:PORT. Default: AWS. Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the shared credentials file, a web identity, or the role of the container or instance."`
	S3Region    string `key:"s3.region" name:"s3-region" placeholder:"NAME" help:"Region of the buckets. Default: AWS_REGION, or us-east-1."`
	S3PathStyle bool   `key:"s3.path_style" name:"s3-path-style" help:"Name buckets in the path of URLs instead of the host name, as most servers other than AWS need."`
	S3CA        string `key:"s3.ca" name:"s3-ca" type:"existingfile" placeholder:"FILE" help:"CA certificates (PEM) for the server of the buckets, in addition to the system's."`
	S3Profile   string `key:"s3.profile" name:"s3-profile" placeholder:"NAME" help:"Profile of the shared credentials file. Default: AWS_PROFILE, or default."`
}

// settings returns the settings of buckets.
func (c *bucketFlags) settings(log *slog.Logger) bucket.Settings {
	return bucket.Settings{
		Endpoint: c.S3Endpoint, Region: c.S3Region, PathStyle: c.S3PathStyle, CAFile: c.S3CA, Profile: c.S3Profile,
		Log: log, Figures: &bucket.Figures{},
	}
}

// check returns an error if a flag is invalid.
func (c *bucketFlags) check() error {
	if err := bucket.CheckEndpoint(c.S3Endpoint); err != nil {
		return &flagError{"s3-endpoint", err}
	}
	return nil
}

// sourceFlags are the flags of commands that read the slides of stores themselves.
type sourceFlags struct {
	databaseFlags
	bucketFlags
}
