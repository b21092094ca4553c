// SPDX-License-Identifier: MIT
#include "switch/runtime/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/lane_fixture.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::LaneFixture;

TEST(BackendOptions, ReadsKindTargetAndOptions) {
  const Result<BackendOptions> parsed =
      BackendOptions::parse("vde:///run/sw.ctl?mode=660&portgroup=a=1-2&portgroup=b=3&mode=600");
  ASSERT_TRUE(parsed.ok());
  const BackendOptions& options = parsed.value();
  EXPECT_EQ(options.kind(), "vde");
  EXPECT_EQ(options.target(), "/run/sw.ctl");
  ASSERT_NE(options.find("mode"), nullptr);
  EXPECT_EQ(*options.find("mode"), "600") << "the last one counts";
  EXPECT_THAT(options.all("portgroup"), ElementsAre("a=1-2", "b=3"));
  EXPECT_EQ(options.find("group"), nullptr);
  EXPECT_THAT(options.all("group"), IsEmpty());
}

TEST(BackendOptions, TakesWhatIsShort) {
  for (const std::string_view url : {"tap://tap0", "tap://tap0?"}) {
    const Result<BackendOptions> parsed = BackendOptions::parse(url);
    ASSERT_TRUE(parsed.ok()) << url;
    EXPECT_EQ(parsed.value().target(), "tap0");
  }
  EXPECT_EQ(BackendOptions::parse("tap://").value().target(), "");
  EXPECT_EQ(*BackendOptions::parse("tap://x?port=").value().find("port"), "");
  EXPECT_EQ(*BackendOptions::parse("tap://x?port=1&").value().find("port"), "1");
}

TEST(BackendOptions, RefusesWhatIsNoUrl) {
  for (const std::string_view url : {"", "tap", "tap:", "tap:/tap0", "://tap0", "tap://x?port",
                                     "tap://x?=1", "tap://x?a=1&b", "tap://x?&"}) {
    const Result<BackendOptions> parsed = BackendOptions::parse(url);
    ASSERT_FALSE(parsed.ok()) << url;
    EXPECT_EQ(parsed.error().code, EINVAL);
  }
}

TEST(BackendOptions, QuotesForeignTextSafely) {
  const Result<BackendOptions> parsed = BackendOptions::parse("a\nb\x1b");
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().text.find("a\\x0ab\\x1b"), std::string::npos) << parsed.error().text;
}

TEST(BackendOptions, NamesTheOptionThatNobodyKnows) {
  BackendOptions options("tap", "tap0");
  options.set("port", "1");
  EXPECT_TRUE(options.check_keys({"port"}).ok());
  options.set("prot", "2");
  const Result<void> checked = options.check_keys({"port", "mode"});
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code, EINVAL);
  EXPECT_NE(checked.error().text.find("'prot'"), std::string::npos);
  EXPECT_NE(checked.error().text.find("port, mode"), std::string::npos);
}

TEST(BackendRegistry, OpensTheKindThatIsNamed) {
  BackendRegistry registry;
  registry.add(
      {"good", "good://", "", [](const BackendOptions&, Patchbay&) { return Result<void>(); }});
  registry.add({"bad", "bad://", "", [](const BackendOptions& options, Patchbay&) {
                  return Result<void>(Error{EIO, options.target()});
                }});
  LaneFixture fixture;
  EXPECT_TRUE(registry.open(BackendOptions("good", ""), fixture.lane).ok());
  const Result<void> failed = registry.open(BackendOptions("bad", "why"), fixture.lane);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().text, "why");
  ASSERT_NE(registry.find("good"), nullptr);
  EXPECT_EQ(registry.find("good")->kind, "good");
  EXPECT_EQ(registry.rows().size(), 2U);
}

TEST(BackendRegistry, NamesTheKindsThereAre) {
  BackendRegistry registry;
  registry.add({"one", "", "", nullptr});
  registry.add({"two", "", "", nullptr});
  LaneFixture fixture;
  const Result<void> opened = registry.open(BackendOptions("three", ""), fixture.lane);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ENOENT);
  EXPECT_NE(opened.error().text.find("one, two"), std::string::npos);
  EXPECT_EQ(registry.find("three"), nullptr);
}

}  // namespace
}  // namespace lanyard
