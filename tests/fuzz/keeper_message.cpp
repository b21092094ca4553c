// SPDX-License-Identifier: MIT
//
// What a switch process, which may be broken, says to its keeper.
#include "switch/daemon/keeper_message.h"

#include "tests/fuzz/input.h"

namespace {

using lanyard::fuzz::require;

void try_one(std::string_view bytes) {
  const auto read = lanyard::decode_keeper_message(bytes);
  if (!read) return require(!read.error().text.empty(), "a refusal says why");
  const auto again = lanyard::decode_keeper_message(lanyard::encode_keeper_message(read.value()));
  require(again.ok(), "what was read can be written and read");
  require(again.value() == read.value(), "and is the same then");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = lanyard::fuzz::as_text({data, size});
  try_one(input);
  // Behind a magic word that fits.
  try_one("LYK1" + std::string(input));
  return 0;
}
