// Sends two lines: PHAROS_URL=http://127.0.0.1:8000 PHAROS_API_KEY=pharos_… go run ./example
package main

import (
	"encoding/json"
	"os"
	"time"

	pharos "example.org/pharos"
)

func main() {
	writer := pharos.New(os.Getenv("PHAROS_URL"), os.Getenv("PHAROS_API_KEY"))
	defer writer.Close()
	log := json.NewEncoder(writer)
	for _, message := range []string{"Order placed", "Order paid"} {
		_ = log.Encode(map[string]any{"time": time.Now(), "level": "info", "service": "shop-go", "message": message})
	}
}
