// SPDX-License-Identifier: MIT
//
// KIND://TARGET?KEY=VALUE&KEY=VALUE, from command lines and the console. What is accepted is what a
// plain reading of the text says, and what is refused is refused with a sentence fit to print.
#include <cerrno>
#include <string>

#include "switch/runtime/backend.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

// The pairs behind the '?', read by the letter; false when one of them is none.
bool read_pairs(std::string_view query, std::vector<std::pair<std::string, std::string>>& pairs) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string_view::npos) return false;
    pairs.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return true;
}

void compare(const BackendOptions& options, std::string_view url) {
  const std::string front = options.kind() + "://" + options.target();
  require(url.starts_with(front), "kind and target are the text as it stands");
  require(!options.kind().empty() && options.kind().find("://") == std::string::npos,
          "a kind has a name");
  require(options.target().find('?') == std::string::npos, "the target ends at the '?'");
  std::vector<std::pair<std::string, std::string>> pairs;
  const std::string_view query = url.size() > front.size() ? url.substr(front.size() + 1) : "";
  require(read_pairs(query, pairs), "what is accepted consists of pairs");
  for (const auto& [key, value] : pairs) {
    const std::vector<std::string> all = options.all(key);
    require(options.find(key) != nullptr && *options.find(key) == all.back(), "the last one wins");
    require(std::find(all.begin(), all.end(), value) != all.end(), "no value is lost");
    const Result<void> known = options.check_keys({"port", "mode"});
    require(known.ok() || known.error().code == EINVAL, "an unknown key is an error");
    if (key != "port" && key != "mode") require(!known.ok(), "an unknown key is not passed over");
  }
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  const std::string_view url = as_text({data, size});
  const lanyard::Result<lanyard::BackendOptions> options = lanyard::BackendOptions::parse(url);
  if (options) {
    compare(options.value(), url);
    require(lanyard::BackendRegistry().find(options.value().kind()) == nullptr,
            "a registry without rows knows no kind");
  } else {
    require(options.error().code == EINVAL && is_plain(options.error().text),
            "the reason of a refusal can be printed");
  }
  return 0;
}
