// SPDX-License-Identifier: MIT
//
// resolv.conf as anything may have written it.
#include "backend/gateway/resolver_list.h"

#include <string>

#include "tests/fuzz/plain_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  const std::string text(as_text({data, size}));
  const ResolverList list = parse_resolv_conf(text);
  require(list.addresses.size() <= ResolverList::kResolversMax, "there are not too many");
  require(list.timeout_s >= 1 && list.timeout_s <= 5, "a timeout is sensible");
  require(list.rounds >= 1 && list.rounds <= 5, "and so are the rounds");
  for (const ResolverAddress& resolver : list.addresses) {
    require(is_plain(resolver.text()), "a resolver can be printed");
    require(ResolverAddress::parse(resolver.text()) == resolver, "and read again");
  }
  if (const auto resolver = ResolverAddress::parse(text)) {
    require(ResolverAddress::parse(resolver->text()) == *resolver, "an address reads back");
  }
  const Result<ResolverList> upstream = parse_upstream({text});
  require(upstream.ok() || is_plain(upstream.error().text), "a refusal can be printed");
  return 0;
}
