// SPDX-License-Identifier: MIT
#include "switch/base/socket_directory.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <string>

#include "tests/support/fake_log.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;

class SocketDirectoryTest : public ::testing::Test {
 protected:
  Result<UniqueFd> listen(const std::string& path) {
    return directories.listen_in_directory(path, {"ctl", {0660, kNoUser, kNoGroup}, 0750});
  }
  // A socket of this name that nobody answers at any more, or that somebody does.
  UniqueFd data_socket(const std::string& name, bool alive) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_TRUE(bind_unix(fd.get(), place / name, {}));
    if (!alive) fd.reset();
    return fd;
  }

  testing::TemporaryDirectory directory;
  testing::FakeLog log;
  OwnSocketDirectories directories{log};
  fs::path place = fs::canonical(directory.path()) / "net";
};

TEST_F(SocketDirectoryTest, IsMadeAndGetsItsModeWithItsSocket) {
  const Result<ClaimedDirectory> claimed = directories.claim_directory(place);
  ASSERT_TRUE(claimed) << claimed.error().text;
  EXPECT_EQ(claimed.value().path, place);
  EXPECT_TRUE(claimed.value().created);
  EXPECT_TRUE(claimed.value().claim);
  ASSERT_TRUE(listen(place));
  EXPECT_EQ(testing::mode_of(place), 0750U);
  EXPECT_EQ(testing::mode_of(place / "ctl"), 0660U);
}

TEST_F(SocketDirectoryTest, IsOneSwitchsAlone) {
  const Result<ClaimedDirectory> claimed = directories.claim_directory(place);
  ASSERT_TRUE(claimed);
  const Result<UniqueFd> listening = listen(place);
  ASSERT_TRUE(listening);
  const Result<ClaimedDirectory> again = directories.claim_directory(place);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, EADDRINUSE);
}

TEST_F(SocketDirectoryTest, IsFoundBehindALink) {
  fs::create_directory(place);
  fs::create_directory_symlink(place, directory.path() + "/link");
  const Result<ClaimedDirectory> claimed = directories.claim_directory(directory.path() + "/link");
  ASSERT_TRUE(claimed) << claimed.error().text;
  EXPECT_EQ(claimed.value().path, place);
  EXPECT_FALSE(claimed.value().created);
}

TEST_F(SocketDirectoryTest, LosesTheDataSocketsOfTheDeadAndNothingElse) {
  ASSERT_TRUE(directories.claim_directory(place));
  const UniqueFd alive = data_socket("003.7", true);
  data_socket("004.8", false);
  data_socket(".4711-00000", false);
  data_socket("somebody", false);
  directory.file("net/005.9", "no socket\n");
  ASSERT_TRUE(directories.clean_directory(place, false));
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(place)) left.insert(entry.path().filename());
  EXPECT_EQ(left, (std::set<std::string>{"003.7", "005.9", "somebody"}));
}

TEST_F(SocketDirectoryTest, IsRemovedWhenItIsEmpty) {
  ASSERT_TRUE(directories.claim_directory(place));
  directory.file("net/kept", "");
  const Result<void> kept = directories.clean_directory(place, true);
  ASSERT_FALSE(kept);
  EXPECT_NE(kept.error().text.find("Could not remove ctl dir"), std::string::npos);
  fs::remove(place / "kept");
  EXPECT_TRUE(directories.clean_directory(place, true));
  EXPECT_FALSE(fs::exists(place));
  EXPECT_TRUE(directories.clean_directory(place, true)) << "somebody else was first";
}

}  // namespace
}  // namespace lanyard
