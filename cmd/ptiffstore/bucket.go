package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/server"
)

// bucketFlags are the flags of every process that reads stores in buckets. The credentials are
// not among them: the environment and the files of AWS's tools have them.
type bucketFlags struct {
	S3Endpoint  string `key:"s3.endpoint" name:"s3-endpoint" placeholder:"URL" help:"Server of the stores in buckets, https://HOST:PORT. Default: AWS. Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the shared credentials file, a web identity, or the role of the container or instance."`
	S3Region    string `key:"s3.region" name:"s3-region" placeholder:"NAME" help:"Region of the buckets. Default: AWS_REGION, or us-east-1."`
	S3PathStyle bool   `key:"s3.path_style" name:"s3-path-style" help:"Name buckets in the path of URLs, also on AWS and the few other servers where they are part of the host name by default."`
	S3CA        string `key:"s3.ca" name:"s3-ca" type:"existingfile" placeholder:"FILE" help:"CA certificates (PEM) for the server of the buckets, in addition to the system's."`
	S3Profile   string `key:"s3.profile" name:"s3-profile" placeholder:"NAME" help:"Profile of the shared credentials file. Default: AWS_PROFILE, or default."`
}

// runFlags limit what processes that serve keep of slides in buckets.
type runFlags struct {
	BucketMemory    int64  `key:"s3.memory_mb" name:"bucket-memory" default:"256" placeholder:"MB" help:"Maximum memory for tiles read from buckets, in MB."`
	BucketCache     string `key:"s3.cache" name:"bucket-cache" type:"path" placeholder:"DIR" help:"Folder for tiles read from buckets, which processes of this host may share. Default: none, only in memory."`
	BucketCacheSize int64  `key:"s3.cache_mb" name:"bucket-cache-size" default:"10240" placeholder:"MB" help:"Maximum size of that folder, in MB."`
}

// options returns the limits.
func (c *runFlags) options() server.BucketCache {
	return server.BucketCache{Memory: c.BucketMemory << 20, Dir: c.BucketCache, DirBytes: c.BucketCacheSize << 20}
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

// credentialVariables say where the credentials for buckets come from; see [bucket.Open].
var credentialVariables = []string{
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED",
}

// adoptCredentials makes this process find the credentials that a server with this environment
// finds, unless it has some of its own.
func adoptCredentials(env map[string]string) {
	for _, name := range credentialVariables {
		if os.Getenv(name) != "" {
			return
		}
	}
	for _, name := range credentialVariables {
		if value := env[name]; value != "" {
			os.Setenv(name, value)
		}
	}
	file := filepath.Join(env["HOME"], ".aws", "credentials")
	if env["HOME"] == "" || env["AWS_SHARED_CREDENTIALS_FILE"] != "" {
		return
	}
	if _, err := os.Stat(file); err == nil {
		os.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	}
}
