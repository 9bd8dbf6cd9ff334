/*
 * lenient.h - what of a pack's objects is overlooked
 *
 * Old tools wrote these; repositories that people use are full of them. The same when a pack comes in
 * and when a mirror is verified: what was let in must not be damage later.
 */
#ifndef GITPROXY_MIRROR_LENIENT_H
#define GITPROXY_MIRROR_LENIENT_H

#define LENIENT_STRICT \
	"--strict=zeroPaddedFilemode=ignore,missingSpaceBeforeDate=ignore," \
	"badTimezone=ignore,missingNameBeforeEmail=ignore,missingEmail=ignore," \
	"badDateOverflow=ignore,nullSha1=ignore,missingSpaceBeforeEmail=ignore," \
	"badEmail=ignore,badName=ignore,missingTaggerEntry=ignore,badTagName=ignore," \
	"gitmodulesName=ignore,gitmodulesParse=ignore,gitmodulesUrl=ignore"

#define LENIENT_FSCK \
	"-c", "fsck.zeroPaddedFilemode=ignore", "-c", "fsck.missingSpaceBeforeDate=ignore", \
	"-c", "fsck.badTimezone=ignore", "-c", "fsck.missingNameBeforeEmail=ignore", \
	"-c", "fsck.missingEmail=ignore", "-c", "fsck.badDateOverflow=ignore", \
	"-c", "fsck.nullSha1=ignore", "-c", "fsck.missingSpaceBeforeEmail=ignore", \
	"-c", "fsck.badEmail=ignore", "-c", "fsck.badName=ignore", \
	"-c", "fsck.missingTaggerEntry=ignore", "-c", "fsck.badTagName=ignore", \
	"-c", "fsck.gitmodulesName=ignore", "-c", "fsck.gitmodulesParse=ignore", \
	"-c", "fsck.gitmodulesUrl=ignore"

#endif
