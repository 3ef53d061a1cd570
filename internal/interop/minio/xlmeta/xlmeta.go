// Package xlmeta changes the metadata of objects on the drives of a MinIO server
// that is not running: what a backend does with its own metadata, tests do with
// MinIO's.
//
//	name := filepath.Join(xlmeta.Dir(bucket, object), xlmeta.FileName)
//	f, err := xlmeta.Read(filepath.Join(drive, name))
//	f.Versions[0].SetMetadata(metadata) // newest first
//	err = f.Write(drive, name)
//
// Everything else stays as it is, byte for byte: the order of fields, those that
// this package does not know, the data of small objects that stands in the same
// file. It reads what the servers of today write, minor version 3 (drive spec
// section 3), and refuses the rest; to read other drives is package drive's.
package xlmeta

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/tinylib/msgp/msgp"

	"github.com/objseal/objseal/sse"
)

// File is an xl.meta: all versions of an object on one drive.
type File struct {
	Versions []*Version // newest first

	magic   []byte // with the version of the container
	formats []byte // versions of headers and records
	inline  []byte // data of small objects: its version byte and map, as it stands
}

// Version is one version of an object.
type Version struct {
	header []byte
	outer  []field // kind and record
	kind   string  // which of outer is the record: V2Obj, DelObj
	record []field
}

// field is an entry of a MessagePack map, its value as it stands.
type field struct {
	name  string
	value []byte
}

const magic = "XL2 \x01\x00\x03\x00"

var errNotXLMeta = errors.New("not an xl.meta of minor version 3")

// Parse takes an xl.meta apart.
func Parse(b []byte) (*File, error) {
	f, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("failed to parse an xl.meta: %w", err)
	}
	return f, nil
}

func parse(b []byte) (*File, error) {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok {
		return nil, errNotXLMeta
	}
	f := &File{magic: b[:len(magic)]}
	index, rest, err := msgp.ReadBytesZC(rest)
	if err != nil {
		return nil, err
	}
	sum, rest, err := msgp.ReadUint64Bytes(rest)
	if err != nil {
		return nil, err
	}
	if sum != uint64(uint32(xxhash.Sum64(index))) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errNotXLMeta)
	}
	f.inline = rest
	left := index
	for range 2 {
		if left, err = msgp.Skip(left); err != nil {
			return nil, err
		}
	}
	f.formats = index[:len(index)-len(left)]
	count, left, err := msgp.ReadIntBytes(left)
	if err != nil {
		return nil, err
	}
	for range count {
		v := new(Version)
		var record []byte
		if v.header, left, err = msgp.ReadBytesZC(left); err != nil {
			return nil, err
		}
		if record, left, err = msgp.ReadBytesZC(left); err != nil {
			return nil, err
		}
		if err := v.parse(record); err != nil {
			return nil, err
		}
		f.Versions = append(f.Versions, v)
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the last version", errNotXLMeta, len(left))
	}
	return f, nil
}

func (v *Version) parse(record []byte) (err error) {
	if v.outer, err = fields(record); err != nil {
		return err
	}
	for _, e := range v.outer {
		if e.name == "V2Obj" || e.name == "DelObj" {
			v.kind = e.name
			v.record, err = fields(e.value)
			return err
		}
	}
	return fmt.Errorf("%w: a version of no known kind", errNotXLMeta)
}

// fields takes a map apart.
func fields(b []byte) ([]field, error) {
	n, rest, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil, err
	}
	var list []field
	for range n {
		var e field
		if e.name, rest, err = msgp.ReadStringBytes(rest); err != nil {
			return nil, err
		}
		after, err := msgp.Skip(rest)
		if err != nil {
			return nil, err
		}
		e.value, rest = rest[:len(rest)-len(after)], after
		list = append(list, e)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind a map", errNotXLMeta, len(rest))
	}
	return list, nil
}

func appendFields(b []byte, list []field) []byte {
	b = msgp.AppendMapHeader(b, uint32(len(list)))
	for _, e := range list {
		b = append(msgp.AppendString(b, e.name), e.value...)
	}
	return b
}

// Bytes puts the file together again.
func (f *File) Bytes() []byte {
	index := msgp.AppendInt(bytes.Clone(f.formats), len(f.Versions))
	for _, v := range f.Versions {
		index = msgp.AppendBytes(index, v.header)
		index = msgp.AppendBytes(index, v.bytes())
	}
	// Servers write both headers in their longest form, whatever the length.
	b := append(bytes.Clone(f.magic), 0xc6)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(index))), index...)
	b = binary.BigEndian.AppendUint32(append(b, 0xce), uint32(xxhash.Sum64(index)))
	return append(b, f.inline...)
}

func (v *Version) bytes() []byte {
	outer := slices.Clone(v.outer)
	for i := range outer {
		if outer[i].name == v.kind {
			outer[i].value = appendFields(nil, v.record)
		}
	}
	return appendFields(nil, outer)
}

// Read reads a file.
func Read(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Write puts the file in place of another one, whole or not at all, by its name below the drive. What a crash
// leaves of it lies where servers clean up, in .minio.sys/tmp of the drive.
func (f *File) Write(drive, name string) error {
	scratch := filepath.Join(drive, ".minio.sys", "tmp")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(scratch, "xl.meta-")
	if err != nil {
		return err
	}
	_, err = temp.Write(f.Bytes())
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(drive, name))
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return err
}

// Inline is the data of small objects, as it stands in the file.
func (f *File) Inline() []byte { return f.inline }

// ID is the version's uuid, or "null".
func (v *Version) ID() string {
	id, _, err := msgp.ReadBytesZC(v.get("ID"))
	if err != nil || bytes.Equal(id, make([]byte, len(id))) {
		return "null"
	}
	b := hex.AppendEncode(nil, id)
	return fmt.Sprintf("%s-%s-%s-%s-%s", b[:8], b[8:12], b[12:16], b[16:20], b[20:])
}

// IsObject tells an object from a delete marker.
func (v *Version) IsObject() bool { return v.kind == "V2Obj" }

func (v *Version) get(name string) []byte {
	for _, e := range v.record {
		if e.name == name {
			return e.value
		}
	}
	return nil
}

func (v *Version) set(name string, value []byte) {
	for i := range v.record {
		if v.record[i].name == name {
			v.record[i].value = value
			return
		}
	}
	v.record = append(v.record, field{name, value})
}

// Metadata returns all entries, those that clients see and those that they do not.
func (v *Version) Metadata() (map[string]string, error) {
	all := make(map[string]string)
	for _, name := range []string{"MetaSys", "MetaUsr"} {
		b := v.get(name)
		if b == nil || msgp.IsNil(b) {
			continue
		}
		entries, err := fields(b)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			value, _, err := msgp.ReadBytesZC(e.value)
			if msgp.NextType(e.value) == msgp.StrType {
				value, _, err = msgp.ReadStringZC(e.value)
			}
			if err != nil {
				return nil, fmt.Errorf("entry %s: %w", e.name, err)
			}
			all[e.name] = string(value)
		}
	}
	return all, nil
}

// SetMetadata puts entries in place of all that are there.
func (v *Version) SetMetadata(all map[string]string) {
	var system, user []field
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if sse.IsReservedMetadata(name) {
			system = append(system, field{name, msgp.AppendBytes(nil, []byte(all[name]))})
		} else {
			user = append(user, field{name, msgp.AppendString(nil, all[name])})
		}
	}
	v.set("MetaSys", appendFields(nil, system))
	v.set("MetaUsr", appendFields(nil, user))
}

// Parts returns the parts of an object, in their order; an object of one stream
// has one.
func (v *Version) Parts() ([]sse.Part, error) {
	var columns [3][]int64
	for i, name := range []string{"PartNums", "PartSizes", "PartASizes"} {
		n, rest, err := msgp.ReadArrayHeaderBytes(v.get(name))
		for range n {
			if err != nil {
				break
			}
			var value int64
			value, rest, err = msgp.ReadInt64Bytes(rest)
			columns[i] = append(columns[i], value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	var parts []sse.Part
	for i, number := range columns[0] {
		if len(columns[1]) <= i || len(columns[2]) <= i {
			return nil, fmt.Errorf("%w: part lists of different lengths", errNotXLMeta)
		}
		parts = append(parts, sse.Part{Number: int(number), Size: columns[1][i], ActualSize: columns[2][i]})
	}
	return parts, nil
}

// SetActualSizes says how long the plaintext of each part is.
func (v *Version) SetActualSizes(sizes []int64) {
	b := msgp.AppendArrayHeader(nil, uint32(len(sizes)))
	for _, n := range sizes {
		b = msgp.AppendInt64(b, n)
	}
	v.set("PartASizes", b)
}

// ReplacePart changes what a server keeps of a part of an unfinished upload, in its
// part.N.meta (drive spec section 9): the ETag as stored, and the size of the plaintext.
func ReplacePart(path, etag string, actual int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	list, err := fields(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for i := range list {
		switch list[i].name {
		case "e":
			list[i].value = msgp.AppendString(nil, etag)
		case "as":
			list[i].value = msgp.AppendInt64(nil, actual)
		}
	}
	return os.WriteFile(path, appendFields(nil, list), 0o600)
}

// Dir is where the files of an object are, below its drive.
func Dir(bucket, object string) string {
	if base, ok := strings.CutSuffix(object, "/"); ok {
		object = base + "__XLDIR__"
	}
	return filepath.Join(bucket, filepath.FromSlash(object))
}

// FileName is the name of the metadata within Dir.
const FileName = "xl.meta"
