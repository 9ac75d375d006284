"""What tests share: values and real servers, no mocks."""
