// SPDX-License-Identifier: MIT
//
// Long lists, a page at a time: the daemon's only thread carries frames, and must not be held up by
// one answer with thousands of rows. A list is taken once, at its first page, so that no row is
// told twice or left out because others came and went; what is not fetched to its end is forgotten
// after a while, or when too many are open. Without a limit the answer is whole.
// Time is a parameter. Gateway thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/network/json_rpc.h"

namespace lanyard {

class ListPages {
 public:
  static constexpr std::size_t kOpenMax = 8;
  static constexpr Duration kLife = std::chrono::seconds(30);

  // `params` may hold `limit`, and from the second page on `next`, as the page before had it. The
  // last page has none. ENOENT when the list is no more.
  Result<Json> page(const Json& params, const std::string& key, const std::function<Json()>& list,
                    Time now);

  std::size_t open() const { return open_.size(); }

 private:
  struct List {
    std::uint64_t id = 0;
    std::string key;
    Json rows;
    std::size_t at = 0;
    Time used{0};
  };

  std::deque<List> open_;  // oldest first
  std::uint64_t next_id_ = 1;
};

}  // namespace lanyard
