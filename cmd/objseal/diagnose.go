package main

import (
	"context"
	"os"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// diagnose finds out why a sealed file does not open, if that can be known. The
// sealed key is in the metadata, so the object is as old as that: rewrap writes
// it anew.
func diagnose(ctx context.Context, client *kms.Client, f *sealedFile, err error) error {
	var written time.Time
	if info, err := os.Stat(f.metaPath); err == nil && info.Mode().IsRegular() {
		written = info.ModTime()
	}
	return sse.Diagnose(ctx, client, f.name(), f.Metadata, written, err)
}
