package ledgertest_test

import (
	"errors"
	"testing"

	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
)

func TestBucketInMemory(t *testing.T) {
	ledgertest.TestBucket(t, func(*testing.T) ledger.Bucket { return ledgertest.New() })
}

func TestCrashAfter(t *testing.T) {
	b := ledgertest.New()
	p := ledgertest.CrashAfter(b, 2)
	if err := p.Put(t.Context(), "a", nil, "text/plain"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), "a"); !errors.Is(err, ledgertest.ErrKilled) {
		t.Errorf("third operation: %v, want ErrKilled", err)
	}
	for _, err := range p.List(t.Context(), "", "") {
		if !errors.Is(err, ledgertest.ErrKilled) {
			t.Errorf("fourth operation: %v, want ErrKilled", err)
		}
	}
	if keys := b.Keys(""); len(keys) != 1 {
		t.Errorf("the dead have deleted something: %v are left", keys)
	}
}
