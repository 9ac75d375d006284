"""What the serial console refuses; codes are EC2 Instance Connect's words.

Source: EC2 Instance Connect API reference, SendSerialConsoleSSHPublicKey.
"""

from amiable.model.errors import Refusal


class SerialConsoleAccessDisabled(Refusal):
    code = "SerialConsoleAccessDisabledException"
    status = 403
    template = (
        "Your account is not authorized to use the EC2 Serial Console. To authorize your account, run the "
        "EnableSerialConsoleAccess API."
    )
    hint = "aws ec2 enable-serial-console-access"


class SerialConsoleSessionLimitExceeded(Refusal):
    code = "SerialConsoleSessionLimitExceededException"
    template = "The serial console of '{instance_id}' has {viewers_max} viewers already."
