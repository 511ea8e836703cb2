package bucket

import (
	"context"
	"errors"
	"strings"

	"github.com/minio/minio-go/v7/pkg/lifecycle"
)

// ErrUnknown: the server does not say what its rules are: not every server has such requests, and
// credentials need permissions of their own for them.
var ErrUnknown = errors.New("the object storage does not say")

// Rules are what the rules of a bucket do with the objects below the prefix of an address.
type Rules struct {
	Versions bool // earlier versions are kept when an object is replaced or deleted
	Expires  bool // objects are deleted at some age
	Archives bool // objects are moved to another storage class, which may not be readable at once
	Aborts   bool // unfinished uploads are aborted
	Forgets  bool // earlier versions are deleted at some age
}

// Rules returns the rules of the bucket. The error is [ErrUnknown] if the server does not
// say.
func (b *Bucket) Rules(ctx context.Context) (Rules, error) {
	var r Rules
	within := b.patient()
	err := within.do(ctx, kindRules, func(ctx context.Context, _ *exchange) error {
		v, err := b.core.GetBucketVersioning(ctx, b.address.Bucket)
		r.Versions = v.Enabled()
		return err
	})
	if err != nil {
		return r, unsaid(ctx, err)
	}
	var c *lifecycle.Configuration
	err = within.do(ctx, kindRules, func(ctx context.Context, _ *exchange) (err error) {
		c, err = b.core.GetBucketLifecycle(ctx, b.address.Bucket)
		return err
	})
	if codeOf(err) == "NoSuchLifecycleConfiguration" {
		return r, nil
	}
	if err != nil {
		return r, unsaid(ctx, err)
	}
	for i := range c.Rules {
		r.add(&c.Rules[i], b.address.Prefix)
	}
	return r, nil
}

// unsaid is [ErrUnknown], unless the server does not answer at all.
func unsaid(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	return ErrUnknown
}

// add adds what a rule does with objects below a prefix. Rules for objects with tags concern none
// of ours.
func (r *Rules) add(rule *lifecycle.Rule, prefix string) {
	of := rule.RuleFilter
	if rule.Status != "Enabled" || !of.Tag.IsEmpty() || len(of.And.Tags) > 0 {
		return
	}
	begin := rule.Prefix + of.Prefix + of.And.Prefix // at most one of them is set
	if !strings.HasPrefix(prefix, begin) && !strings.HasPrefix(begin, prefix) {
		return
	}
	r.Expires = r.Expires || !rule.Expiration.IsDaysNull() || !rule.Expiration.IsDateNull()
	r.Archives = r.Archives || !rule.Transition.IsNull()
	r.Aborts = r.Aborts || !rule.AbortIncompleteMultipartUpload.IsDaysNull()
	r.Forgets = r.Forgets || !rule.NoncurrentVersionExpiration.IsDaysNull()
}
