package kes

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/objseal/objseal/kms"
)

// putOffTime is for how long a server that failed is asked last (KES spec
// section 7.3).
const putOffTime = 30 * time.Second

// endpoint is one server, and whether it did well lately.
type endpoint struct {
	base string // https://host:port

	mu      sync.Mutex
	silent  time.Time // since when it was asked in vain by callers who had little time; zero if it answered
	until   time.Time // asked last until it has done well again, and probed from then on; zero if it did well
	probing bool      // a probe is finding out
}

func (e *endpoint) String() string { return e.base }

// isWell reports whether the server's turn is now, rather than last.
func (e *endpoint) isWell() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.until.IsZero()
}

// beginProbe reports whether it is time to find out whether the server is back.
// Every true is followed by an endProbe.
func (e *endpoint) beginProbe() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until.IsZero() || e.probing || time.Now().Before(e.until) {
		return false
	}
	e.probing = true
	return true
}

func (e *endpoint) endProbe() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.probing = false
}

func (e *endpoint) putOff()  { e.set(time.Now().Add(putOffTime)) }
func (e *endpoint) welcome() { e.set(time.Time{}) }

func (e *endpoint) set(until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.until, e.silent = until, time.Time{}
}

// wasSilent notes a try that its caller's deadline ended, and returns for how
// long the server has been asked in vain.
func (e *endpoint) wasSilent(start time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.silent.IsZero() || start.Before(e.silent) {
		e.silent = start
	}
	return time.Since(e.silent)
}

// newEndpoints returns the servers in the order in which they are preferred: as
// given if the first is on this machine, else beginning anywhere, so that many
// clients of one configuration spread over its servers.
func newEndpoints(urls []string) ([]*endpoint, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("%w: no KES server is named", kms.ErrNotConfigured)
	}
	list := make([]*endpoint, len(urls))
	local := false
	for i, text := range urls {
		u, err := parseURL(text)
		if err != nil {
			return nil, &EndpointError{text, err}
		}
		list[i] = &endpoint{base: "https://" + u.Host}
		if i == 0 {
			ip := net.ParseIP(u.Hostname())
			local = u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
		}
	}
	if !local {
		start := rand.IntN(len(list))
		list = slices.Concat(list[start:], list[:start])
	}
	return list, nil
}

// EndpointError is a text that is no endpoint or no pattern of endpoints.
type EndpointError struct {
	Text string // as given; a password or an API key in it is not in the message
	Err  error
}

func (e *EndpointError) Error() string {
	text := printable(e.Text)
	if strings.Contains(text, "@") || strings.Contains(text, apiKeyPrefix) {
		text = "[redacted]"
	}
	return fmt.Sprintf("invalid endpoint '%s': %v", text, e.Err)
}

func (e *EndpointError) Unwrap() error { return e.Err }

var errNoScheme = errors.New("it does not begin with https://")

func parseURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		return nil, errNoScheme
	}
	if strings.Contains(text, apiKeyPrefix) {
		return nil, errors.New("it holds an API key")
	}
	u, err := url.Parse(text)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // the rest repeats the text
		}
		return nil, err
	}
	switch {
	case u.Scheme != "https":
		return nil, errNoScheme
	case u.Hostname() == "":
		return nil, errors.New("it names no host")
	case u.User != nil:
		return nil, errors.New("it holds a user name")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("something follows the host and port")
	}
	return u, nil
}

// maxEndpoints bounds what a pattern makes: {1...99999999} is an error.
const maxEndpoints = 1024

// ParseEndpoints reads a list of endpoints separated by commas, as in
// MINIO_KMS_KES_ENDPOINT. Spaces around items and empty items are ignored.
// {N...M} in an item stands for every number, or letter, from N to M; if N or M
// is written with leading zeros all numbers have at least M's width. With several
// patterns in an item the first changes fastest (KES spec section 8.1). The URLs
// are not looked at, [New] does that. The only error is an *EndpointError.
func ParseEndpoints(s string) ([]string, error) {
	var all []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		list, err := expand(item)
		if err == nil && len(all)+len(list) > maxEndpoints {
			err = errTooMany
		}
		if err != nil {
			return nil, &EndpointError{item, err}
		}
		all = append(all, list...)
	}
	return all, nil
}

var (
	errTooMany = fmt.Errorf("more than %d endpoints", maxEndpoints)
	errPattern = errors.New("a range is written {N...M} with numbers or letters, N not after M")

	pattern = regexp.MustCompile(`\{([0-9]{1,9}|[a-zA-Z])\.\.\.([0-9]{1,9}|[a-zA-Z])\}`)
)

// expand returns what an item without commas stands for.
func expand(item string) ([]string, error) {
	list := []string{""}
	rest := 0 // what of item is in the list already
	for _, m := range pattern.FindAllStringSubmatchIndex(item, -1) {
		values, err := valuesOf(item[m[2]:m[3]], item[m[4]:m[5]])
		if err != nil {
			return nil, err
		}
		if len(list)*len(values) > maxEndpoints {
			return nil, errTooMany
		}
		between := item[rest:m[0]]
		if strings.ContainsAny(between, "{}") {
			return nil, errPattern
		}
		grown := make([]string, 0, len(list)*len(values))
		for _, v := range values {
			for _, prefix := range list {
				grown = append(grown, prefix+between+v)
			}
		}
		list, rest = grown, m[1]
	}
	if strings.ContainsAny(item[rest:], "{}") {
		return nil, errPattern
	}
	for i := range list {
		list[i] += item[rest:]
	}
	return list, nil
}

// valuesOf returns everything from first to last.
func valuesOf(first, last string) (values []string, err error) {
	from, errFrom := strconv.Atoi(first)
	to, errTo := strconv.Atoi(last)
	format := "%d"
	switch {
	case errFrom == nil && errTo == nil:
		if isPadded(first) || isPadded(last) {
			format = fmt.Sprintf("%%0%dd", len(last))
		}
	case errFrom != nil && errTo != nil && isUpper(first) == isUpper(last):
		from, to, format = int(first[0]), int(last[0]), "%c"
	default:
		return nil, errPattern
	}
	if from > to {
		return nil, errPattern
	}
	if to-from >= maxEndpoints {
		return nil, errTooMany
	}
	for v := from; v <= to; v++ {
		values = append(values, fmt.Sprintf(format, v))
	}
	return values, nil
}

func isPadded(number string) bool { return len(number) > 1 && number[0] == '0' }
func isUpper(letter string) bool  { return letter[0] <= 'Z' }
