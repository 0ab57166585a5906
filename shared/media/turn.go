package media

// turnInto writes src, turned, into dst, which has the format and the size that this gives.
func (t turn) turnInto(dst, src *Frame) {
	pixel := 1
	if src.format == RGB24 {
		pixel = 3
	}
	for i := range src.Planes() {
		from, stride := src.Plane(i)
		to, toStride := dst.Plane(i)
		t.plane(to, toStride, dst.RowBytes(i)/pixel, from, stride, src.RowBytes(i)/pixel, pixel)
	}
}

// plane turns one plane of src, width pixels wide, into dst, dstWidth wide.
func (t turn) plane(dst []byte, dstStride, dstWidth int, src []byte, srcStride, width, pixel int) {
	rows := func(p []byte, stride, width int) int { return (len(p)-width*pixel)/stride + 1 }
	height, dstHeight := rows(src, srcStride, width), rows(dst, dstStride, dstWidth)

	// Displayed (x, y) is at origin + x·across + y·down in the coded plane.
	right, below := pixel, srcStride
	origin := 0
	if t.mirrored {
		origin, right = (width-1)*pixel, -pixel
	}
	across, down := right, below
	switch t.quarters {
	case 1:
		origin += (height - 1) * below
		across, down = -below, right
	case 2:
		origin += (height-1)*below + (width-1)*right
		across, down = -right, -below
	case 3:
		origin += (width - 1) * right
		across, down = below, -right
	}
	const block = 32 // both planes' rows of a block stay in the cache
	for y0 := 0; y0 < dstHeight; y0 += block {
		for x0 := 0; x0 < dstWidth; x0 += block {
			for y := y0; y < min(y0+block, dstHeight); y++ {
				from, to := origin+x0*across+y*down, y*dstStride+x0*pixel
				for range min(block, dstWidth-x0) {
					copy(dst[to:to+pixel], src[from:from+pixel])
					from, to = from+across, to+pixel
				}
			}
		}
	}
}
