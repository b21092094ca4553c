// SPDX-License-Identifier: MIT
//
// What a switch process may have written before it died: read, or refused with a sentence; and what
// is read comes out of another round the same. The input is tried as it is and as what lies behind
// a head with the right checksum, which no mutation would find.
#include "switch/daemon/handover_state.h"

#include "tests/fuzz/input.h"

namespace {

using namespace lanyard;
using lanyard::fuzz::require;

void put(std::string& to, std::uint64_t value, int size) {
  for (int i = 0; i < size; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}

std::string with_head(std::string_view body) {
  std::string bytes("LANYARD\x01");
  put(bytes, kHandoverFormat, 4);
  put(bytes, kHandoverFormatOldest, 4);
  put(bytes, crc32c(body), 4);
  put(bytes, body.size(), 8);
  bytes += body;
  return bytes;
}

void try_one(std::string_view bytes) {
  const Result<HandoverState> read = decode_handover(bytes);
  if (!read) return require(!read.error().text.empty(), "a refusal says why");
  const Result<HandoverState> again = decode_handover(encode_handover(read.value()));
  require(again.ok(), "what was read can be written and read");
  require(again.value() == read.value(), "and is the same then");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = lanyard::fuzz::as_text({data, size});
  try_one(input);
  try_one(with_head(input));
  return 0;
}
