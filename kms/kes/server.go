package kes

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/objseal/objseal/kms"
)

// Version returns the version of the first server that answers.
func (b *Backend) Version(ctx context.Context) (version string, err error) {
	err = b.do(ctx, call{op: opVersion, limit: maxAnswer, out: readVersion(&version)})
	return version, err
}

func readVersion(version *string) func(answer) error {
	return func(a answer) error {
		var v struct{ Version string }
		if err := a.decode(&v); err != nil {
			return err
		}
		*version = printable(v.Version)
		return nil
	}
}

// Ready asks whether a server can use its key store. [ErrKeyStore] if it cannot;
// kms.ErrUnsupported from servers of before 2023-04, which have no such call.
func (b *Backend) Ready(ctx context.Context) error {
	return b.do(ctx, call{op: opReady})
}

// API is a route of a server.
type API struct {
	Method  string
	Path    string        // a name follows if it ends in a slash
	MaxBody int64         // longest request body in bytes; 0: none is read
	Timeout time.Duration // 0: none
}

// APIs returns the routes of the first server that answers.
func (b *Backend) APIs(ctx context.Context) (list []API, err error) {
	err = b.do(ctx, call{
		op: opAPIs, limit: maxAnswer,
		out: func(a answer) error {
			var v []struct {
				Method, Path string
				MaxBody      int64 `json:"max_body"`
				Timeout      int64 // seconds
			}
			if err := a.decode(&v); err != nil {
				return err
			}
			list = make([]API, len(v))
			for i, r := range v {
				list[i] = API{printable(r.Method), printable(r.Path), r.MaxBody, time.Duration(r.Timeout) * time.Second}
			}
			slices.SortFunc(list, func(a, b API) int { return cmp.Compare(a.Path, b.Path) })
			return nil
		},
	})
	return list, err
}

// Metrics are those of one server.
type Metrics struct {
	Endpoint string // https://host:port
	Text     string // in the format of Prometheus, 4 MiB at most, without control characters but line breaks and tabs
	Err      error
}

// Metrics asks every server for its metrics, all at once. It fails only if none
// can be used.
func (b *Backend) Metrics(ctx context.Context) ([]Metrics, error) {
	all := make([]Metrics, len(b.endpoints))
	var wait sync.WaitGroup
	for i, e := range b.endpoints {
		all[i].Endpoint = e.String()
		wait.Go(func() {
			all[i].Err = ended(ctx, b.try(ctx, e, call{
				op: opMetrics, limit: maxMetrics,
				out: func(a answer) error {
					all[i].Text = strings.Map(printableLine, string(a.body))
					return nil
				},
			}, b.tryTimeout))
		})
	}
	wait.Wait()
	for _, m := range all {
		if m.Err == nil {
			return all, nil
		}
	}
	return all, all[0].Err
}

// printableLine replaces what could steer a terminal, and what is no UTF-8.
func printableLine(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' {
		return utf8.RuneError
	}
	return r
}

// Status asks every server how it is, all at once. It fails only if none can be
// used, with the error of the one that is preferred. A server that does not let
// this identity read the status is asked for its version only.
func (b *Backend) Status(ctx context.Context) (kms.Status, error) {
	found := make([]kms.Status, len(b.endpoints))
	all := make([]kms.Endpoint, len(b.endpoints))
	var wait sync.WaitGroup
	for i, e := range b.endpoints {
		wait.Go(func() {
			start := time.Now()
			var err error
			found[i], err = b.statusOf(ctx, e)
			err = ended(ctx, err)
			all[i] = kms.Endpoint{Address: e.String(), Version: found[i].Version, Latency: time.Since(start), Err: err, KeyStoreUnreachable: found[i].KeyStoreUnreachable}
		})
	}
	wait.Wait()
	var status kms.Status
	err := all[0].Err
	for i, e := range all {
		if e.Err == nil {
			status, err = found[i], nil
			break
		}
	}
	status.Backend, status.Endpoints = "kes", all
	status.Identity, status.NotAfter = b.creds.Identity(), b.creds.NotAfter()
	status.Warning = CheckExpiry(b.creds, time.Now())
	return status, err
}

func (b *Backend) statusOf(ctx context.Context, e *endpoint) (status kms.Status, err error) {
	err = b.try(ctx, e, call{
		op: opStatus, limit: maxAnswer,
		out: func(a answer) error {
			// Generations differ in the spelling of the flag (KES spec section 1.6).
			var v struct {
				Version     string
				Uptime      float64 // seconds
				Latency     float64 `json:"keystore_latency"` // milliseconds
				Unreachable bool    `json:"keystore_unreachable"`
				Unavailable bool    `json:"keystore_unavailable"`
			}
			if err := a.decode(&v); err != nil {
				return err
			}
			status = kms.Status{
				Version:             printable(v.Version),
				Uptime:              time.Duration(v.Uptime * float64(time.Second)),
				KeyStoreLatency:     time.Duration(v.Latency * float64(time.Millisecond)),
				KeyStoreUnreachable: v.Unreachable || v.Unavailable,
			}
			return nil
		},
	}, b.tryTimeout)
	if errors.Is(err, kms.ErrNotPermitted) {
		err = b.try(ctx, e, call{op: opVersion, limit: maxAnswer, out: readVersion(&status.Version)}, b.tryTimeout)
	}
	return status, err
}
