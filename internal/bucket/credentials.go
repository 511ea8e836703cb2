package bucket

import (
	"cmp"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// credentialsTime limits a request for credentials.
const credentialsTime = 5 * time.Second

// region returns the region of the settings, or of the environment.
func (s *Settings) region() string {
	return cmp.Or(s.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), defaultRegion)
}

// credentials returns the source of credentials that comes first. Only on AWS an instance has a
// role: elsewhere its address answers nothing, or somebody else.
func (s *Settings) credentials(aws bool, region string) *credentials.Credentials {
	iam := &credentials.IAM{Client: &http.Client{Timeout: credentialsTime}, Region: region}
	switch {
	case os.Getenv("AWS_ACCESS_KEY_ID") != "" && os.Getenv("AWS_SECRET_ACCESS_KEY") != "":
		return credentials.New(&credentials.EnvAWS{})
	case s.hasProfile():
		return credentials.New(&credentials.FileAWSCredentials{Profile: s.Profile})
	case os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && os.Getenv("AWS_ROLE_ARN") != "",
		os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "", os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return credentials.New(iam)
	case aws && os.Getenv("AWS_EC2_METADATA_DISABLED") != "true":
		return credentials.New(iam)
	}
	return credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
}

// hasProfile reports whether a profile was asked for, or the shared credentials file exists.
func (s *Settings) hasProfile() bool {
	if s.Profile != "" || os.Getenv("AWS_PROFILE") != "" {
		return true
	}
	file := os.Getenv("AWS_SHARED_CREDENTIALS_FILE")
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return false
		}
		file = filepath.Join(home, ".aws", "credentials")
	}
	_, err := os.Stat(file)
	return err == nil
}

// CredentialSource names where the credentials come from: "environment", "profile", "web
// identity", "container", "instance" or "none".
func (s *Settings) CredentialSource() string {
	switch {
	case os.Getenv("AWS_ACCESS_KEY_ID") != "" && os.Getenv("AWS_SECRET_ACCESS_KEY") != "":
		return "environment"
	case s.hasProfile():
		return "profile"
	case os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && os.Getenv("AWS_ROLE_ARN") != "":
		return "web identity"
	case os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "", os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return "container"
	case s.Endpoint == "" && os.Getenv("AWS_EC2_METADATA_DISABLED") != "true":
		return "instance"
	}
	return "none"
}
