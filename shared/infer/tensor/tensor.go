// Package tensor holds the numbers that go into a network and come out of it, so that the code that prepares and reads them
// need not know what runs the network.
package tensor

// A Tensor is a dense block of numbers, the last dimension varying fastest. Data holds exactly the product of Shape.
type Tensor struct {
	Name  string // the network's name of it; empty on an input means "by position"
	Shape []int
	Data  []float32
}

// New is a tensor of zeros.
func New(shape ...int) Tensor {
	return Tensor{Shape: shape, Data: make([]float32, Size(shape))}
}

// Size is how many numbers a shape holds.
func Size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Item is the part of the data that belongs to index i of the first dimension: one picture of a batch.
func (t Tensor) Item(i int) []float32 {
	n := Size(t.Shape[1:])
	return t.Data[i*n : (i+1)*n : (i+1)*n]
}

// Find returns the tensor of that name.
func Find(ts []Tensor, name string) (Tensor, bool) {
	for _, t := range ts {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}
