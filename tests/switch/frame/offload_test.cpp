// SPDX-License-Identifier: MIT
#include "switch/frame/offload.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

TEST(Offload, OwesNothingAtFirst) {
  EXPECT_TRUE(Offload{}.owes_nothing());
}

TEST(Offload, OwesAChecksumOrASegmentation) {
  Offload checksum;
  checksum.needs_checksum = true;
  EXPECT_FALSE(checksum.owes_nothing());
  Offload segmentation;
  segmentation.segmentation = Offload::Segmentation::tcp4;
  EXPECT_FALSE(segmentation.owes_nothing());
  EXPECT_NE(checksum, segmentation);
}

}  // namespace
}  // namespace lanyard
