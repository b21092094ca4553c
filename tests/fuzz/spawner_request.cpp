// SPDX-License-Identifier: MIT
//
// What a daemon, which a guest may have taken over, asks its spawner for.
#include "switch/daemon/spawner_message.h"
#include "tests/fuzz/input.h"

namespace {

using lanyard::fuzz::require;

constexpr std::string_view kMagic = "LYS1";

void try_one(std::string_view bytes) {
  const auto read = lanyard::decode_spawner_request(bytes);
  if (!read) return require(!read.error().text.empty(), "a refusal says why");
  require(lanyard::encode_spawner_request(read.value()) == bytes,
          "what is taken says nothing that is not seen");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(lanyard::fuzz::as_text({data, size}));
  try_one(bytes);
  // Of the size, and behind the mark that fit.
  bytes.resize(lanyard::kSpawnerRequestSize);
  bytes.replace(0, kMagic.size(), kMagic);
  try_one(bytes);
  return 0;
}
