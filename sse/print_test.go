package sse_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/objseal/objseal/sse"
)

// formats are all verbs of fmt with the flags that change how bytes look.
var formats = func() (list []string) {
	for _, verb := range "vsqxXdobcUOtepTw" {
		for _, flag := range []string{"", "+", "#"} {
			list = append(list, "%"+flag+string(verb))
		}
	}
	return list
}()

// prints is everything that a verb, an encoder or a logger makes of v, and of
// what v points to.
func prints(v any) map[string]string {
	out := map[string]string{}
	values := map[string]any{"": v}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer {
		values["*"] = p.Elem() // fmt prints what a reflect.Value holds
	}
	for star, v := range values {
		for _, format := range formats {
			out[star+format] = fmt.Sprintf(format, v)
		}
	}
	text, _ := json.Marshal(v)
	out["json"] = string(text)
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"slog text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"slog json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("message", "value", v)
		out[name] = b.String()
	}
	return out
}

// looks is how the first six bytes of a secret look, printed in whatever way.
func looks(secret []byte) map[string]bool {
	front, zeros := [6]byte(secret), [6]byte{}
	list := map[string]bool{string(front[:]): true, base64.StdEncoding.EncodeToString(front[:]): true}
	for _, format := range formats {
		if strings.Contains(format, "T") {
			continue
		}
		list[unframed(fmt.Sprintf(format, front), fmt.Sprintf(format, zeros))] = true
		list[unframed(fmt.Sprintf(format, front[:]), fmt.Sprintf(format, zeros[:]))] = true
	}
	list[strings.ReplaceAll(strings.Trim(fmt.Sprint(front), "[]"), " ", ",")] = true // JSON
	return list
}

// unframed takes off text what zeros, printed in the same way, have around them.
// Text itself cannot tell: a bracket in it may be a byte of the secret.
func unframed(text, zeros string) string {
	start := strings.LastIndexAny(zeros, "[{") + 1
	start += len(zeros[start:]) - len(strings.TrimLeft(zeros[start:], "\""))
	end := len(zeros) - len(strings.TrimRight(zeros, ")]}\""))
	return text[start : len(text)-end]
}

func shows(text string, looks map[string]bool) bool {
	for look := range looks {
		if strings.Contains(text, look) {
			return true
		}
	}
	return false
}

// TestNothingPrintsKeys prints whatever holds a key, in the middle of its work
// too.
func TestNothingPrintsKeys(t *testing.T) {
	key := customerKey(t, 0)
	copy(key.Bytes(), "\x9a\x0c\xe1Zk\x81 a customer key")
	secrets := []map[string]bool{looks(key.Bytes())}
	r := sse.Request{Method: sse.C, CustomerKey: key}
	encrypt, open := &sse.EncryptOptions{Checksum: sse.SHA256}, &sse.OpenOptions{CustomerKey: key}

	m, err := sse.NewMultipart(background, nil, r, object)
	if err != nil {
		t.Fatal(err)
	}
	upload, err := sse.Encrypt(background, nil, r, object, bytes.NewReader(someBytes(200000)), encrypt)
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, looks(sse.ObjectKeyOf(m)), looks(sse.ObjectKeyOf(upload)))
	part, err := m.Part(background, 1, bytes.NewReader(someBytes(200000)), encrypt)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*sse.Upload{upload, part} {
		if _, err := io.ReadFull(u, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	s := seal(t, nil, r, object, someBytes(200000), encrypt)
	obj := s.mustOpen(t, nil, object, open)
	secrets = append(secrets, looks(sse.ObjectKeyOf(obj)))
	rd, err := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(rd, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_, wrong := s.open(nil, object, &sse.OpenOptions{CustomerKey: customerKey(t, 2)})
	_, badKey := sse.NewCustomerKey(append(key.Bytes(), 0))
	for name, v := range map[string]any{
		"CustomerKey": key, "*CustomerKey": &key, "Request": r, "*Request": &r, "EncryptOptions": encrypt, "OpenOptions": open,
		"Upload": upload, "a part's Upload": part, "Multipart": m, "Object": obj, "Description": obj.Description, "Reader": rd, "wrong key": wrong, "bad key": badKey,
	} {
		for how, text := range prints(v) {
			for _, secret := range secrets {
				if shows(text, secret) {
					t.Errorf("%s shows a key by %s", name, how)
				}
			}
		}
	}

	// What is searched for is never so short that anything has it.
	for _, brackets := range []string{"abcde[", "[{[{[{", "a]})\"`", "[1 2 3"} {
		for look := range looks([]byte(brackets)) {
			if len(look) < 6 {
				t.Errorf("of %q it looks for %q", brackets, look)
			}
		}
	}

	// The search finds what is there.
	secret := [32]byte(key.Bytes())
	for how, text := range prints(struct{ A [32]byte }{secret}) {
		if !strings.Contains(how, "T") && !shows(text, secrets[0]) {
			t.Errorf("a key printed by %s is not found: %.200s", how, text)
		}
	}
}

func TestCustomerKey(t *testing.T) {
	for _, n := range []int{0, 31, 33} {
		if k, err := sse.NewCustomerKey(make([]byte, n)); err == nil || !k.IsZero() || sse.KindOf(err) != sse.KindInvalidRequest {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	b := bytes.Repeat([]byte{1}, 32)
	k, err := sse.NewCustomerKey(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !k.Equal(customerKey(t, 1)) || k.Equal(customerKey(t, 2)) || k.Equal(sse.CustomerKey{}) || (sse.CustomerKey{}).Equal(sse.CustomerKey{}) {
		t.Error("Equal is wrong, or the key is not a copy")
	}
}

func TestNames(t *testing.T) {
	for v, want := range map[fmt.Stringer]string{
		sse.None: "none", sse.S3: "SSE-S3", sse.KMS: "SSE-KMS", sse.C: "SSE-C", sse.Method(9): "none",
		sse.NoChecksum: "none", sse.CRC64NVME: "CRC64NVME", sse.ChecksumType(3): "none",
		sse.ObjectName{Bucket: "b", Object: "dir/o"}: `"b/dir/o"`, sse.ObjectName{Bucket: "b", Object: "\n\xff"}: `"b/\n\xff"`,
	} {
		if got := v.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := (sse.ObjectName{Bucket: "b", Object: strings.Repeat("é", 1024)}).String(); len(got) > 700 || !strings.Contains(got, "2050 bytes") {
		t.Errorf("a long name: %s", got)
	}
}
