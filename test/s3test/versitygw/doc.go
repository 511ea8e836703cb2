// Package versitygw pins the version of the S3 server that tests start: its go.mod does.
package versitygw
