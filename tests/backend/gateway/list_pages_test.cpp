// SPDX-License-Identifier: MIT
#include "backend/gateway/list_pages.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::seconds;

Json numbers(int count) {
  Json rows = Json::array();
  for (int i = 0; i < count; ++i) rows.push_back(i);
  return rows;
}

// All rows, and by how many pages.
std::pair<Json, int> fetch(ListPages& pages, int count, int limit) {
  Json all = Json::array();
  Json params{{"limit", limit}};
  for (int page = 1;; ++page) {
    const auto answer = pages.page(
        params, "rows", [&] { return numbers(count); }, seconds(1));
    if (!answer) return {answer.error().text, page};
    EXPECT_LE(answer.value()["rows"].size(), static_cast<std::size_t>(limit));
    for (const Json& row : answer.value()["rows"]) all.push_back(row);
    if (!answer.value().contains("next")) return {all, page};
    params["next"] = answer.value()["next"];
  }
}

TEST(ListPages, AreTheWholeListInOrder) {
  ListPages pages;
  EXPECT_EQ(fetch(pages, 0, 32), std::pair(numbers(0), 1));
  EXPECT_EQ(fetch(pages, 1, 32), std::pair(numbers(1), 1));
  EXPECT_EQ(fetch(pages, 32, 32), std::pair(numbers(32), 1));
  EXPECT_EQ(fetch(pages, 33, 32), std::pair(numbers(33), 2));
  EXPECT_EQ(fetch(pages, 5000, 32), std::pair(numbers(5000), 157));
  EXPECT_EQ(pages.open(), 0U);
}

TEST(ListPages, WithoutALimitThereIsOne) {
  ListPages pages;
  for (const Json& params : {Json::object(), Json{{"limit", 0}}, Json{{"limit", "many"}}}) {
    const auto answer = pages.page(
        params, "rows", [] { return numbers(100); }, seconds(1));
    EXPECT_EQ(answer.value(), (Json{{"rows", numbers(100)}}));
  }
}

TEST(ListPages, DoNotMixListsThatAreFetchedAtOnce) {
  ListPages pages;
  const auto list = [](int count) { return [count] { return numbers(count); }; };
  const Json first = pages.page({{"limit", 2}}, "a", list(3), seconds(1)).value();
  const Json other = pages.page({{"limit", 2}}, "a", list(5), seconds(1)).value();
  const auto rest = pages.page({{"limit", 9}, {"next", first["next"]}}, "a", list(0), seconds(1));
  EXPECT_EQ(rest.value(), (Json{{"a", {2}}}));
  EXPECT_FALSE(pages.page({{"limit", 9}, {"next", other["next"]}}, "b", list(0), seconds(1)).ok());
  EXPECT_FALSE(pages.page({{"limit", 9}, {"next", -1}}, "b", list(0), seconds(1)).ok());
}

TEST(ListPages, WhatNobodyFetchesIsForgotten) {
  ListPages pages;
  const auto list = [] { return numbers(10); };
  const Json first = pages.page({{"limit", 2}}, "a", list, seconds(1)).value();
  for (std::size_t i = 0; i < ListPages::kOpenMax; ++i) {
    ASSERT_TRUE(pages.page({{"limit", 2}}, "a", list, seconds(2)).ok());
  }
  EXPECT_EQ(pages.open(), ListPages::kOpenMax);
  EXPECT_FALSE(pages.page({{"limit", 2}, {"next", first["next"]}}, "a", list, seconds(2)).ok());
  EXPECT_TRUE(pages.page(Json::object(), "a", list, seconds(32)).ok());
  EXPECT_EQ(pages.open(), 0U);
}

}  // namespace
}  // namespace lanyard
