package tensor

import "testing"

func TestTensor(t *testing.T) {
	x := New(2, 3, 4)
	if len(x.Data) != 24 || Size(nil) != 1 || Size([]int{2, 0}) != 0 {
		t.Errorf("%d numbers; sizes %d, %d", len(x.Data), Size(nil), Size([]int{2, 0}))
	}
	item := x.Item(1)
	item[0] = 5
	if len(item) != 12 || cap(item) != 12 || x.Data[12] != 5 {
		t.Error("an item is a part of the data, and no more than that")
	}
	x.Name = "x"
	if got, ok := Find([]Tensor{{Name: "y"}, x}, "x"); !ok || len(got.Data) != 24 {
		t.Error("x is not found")
	}
	if _, ok := Find(nil, "x"); ok {
		t.Error("x is found where nothing is")
	}
}
