// SPDX-License-Identifier: MIT
//
// The word somebody probably meant. Any thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string_view>
#include <vector>

namespace lanyard {

// How many letters have to be changed, added or removed to get from one to the other.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

// The candidate most like the word; empty when none is much like it.
template <typename Candidates>
std::string_view nearest(std::string_view word, const Candidates& candidates) {
  constexpr std::size_t kLongestWord = 64;
  std::string_view best;
  if (word.empty() || word.size() > kLongestWord) return best;
  std::size_t least = word.size() <= 3 ? 2 : std::max<std::size_t>(word.size() / 3, 2) + 1;
  for (const std::string_view candidate : candidates) {
    // What was written too short or too long counts less than other letters do.
    const bool inside =
        word.size() >= 3 && (candidate.starts_with(word) || word.starts_with(candidate));
    const std::size_t distance = inside ? 1 : edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace lanyard
