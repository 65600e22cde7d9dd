// A static program that stands in for kubectl in tests of the cage around it.
module kubently.test/probe

go 1.26.0
