// SPDX-License-Identifier: MIT
#include "backend/gateway/list_pages.h"

#include <algorithm>
#include <cerrno>

namespace lanyard {

Result<Json> ListPages::page(const Json& params, const std::string& key,
                             const std::function<Json()>& list, Time now) {
  std::erase_if(open_, [now](const List& one) { return now - one.used >= kLife; });
  const Json limit = params.value("limit", Json());
  if (!limit.is_number_integer() || limit <= 0) return Json{{key, list()}};
  const Json next = params.value("next", Json());
  if (next.is_null()) {
    if (open_.size() >= kOpenMax) open_.pop_front();
    open_.push_back({next_id_++, key, list(), 0, now});
  }
  const std::uint64_t id = next.is_null()             ? next_id_ - 1
                           : next.is_number_integer() ? next.get<std::uint64_t>()
                                                      : 0;
  const auto found = std::find_if(open_.begin(), open_.end(),
                                  [&](const List& one) { return one.id == id && one.key == key; });
  if (found == open_.end()) return Error{ENOENT, "the list is no more; ask for it anew"};
  found->used = now;
  Json rows = Json::array();
  const std::size_t end =
      found->at + std::min(limit.get<std::size_t>(), found->rows.size() - found->at);
  for (; found->at < end; ++found->at) rows.push_back(std::move(found->rows[found->at]));
  Json answer{{key, std::move(rows)}};
  if (end == found->rows.size()) {
    open_.erase(found);
  } else {
    answer["next"] = found->id;
  }
  return answer;
}

}  // namespace lanyard
